"""Who made the rows of each split, and which of them were made from a held-out row."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pretune.core.origin import KEY, Origin, RowKind
from pretune.core.records import Example, Row
from pretune.data.rejected import Reason, Rejected, reject
from pretune.data.splits import Split
from pretune.data.workshop.tracked import tracked

_SOONER = {Split.TRAIN: (Split.TEST, Split.VALIDATION), Split.VALIDATION: (Split.TEST,)}
"""Splits whose rows a row of this one may not descend from."""


@dataclass
class Descent:
    """Origins of the rows that carry one, and ids of the held-out rows."""

    _made: dict[tuple[Split, str], Origin] = field(default_factory=dict)
    _held: dict[tuple[Split, str], str] = field(default_factory=dict)

    def add(self, split: Split, row: Row) -> Rejected | None:
        """Take in a row; what is wrong with its origin, if anything is."""
        if split is Split.TRAIN and KEY not in row.fields:
            return None
        found = tracked(row)
        if isinstance(found, Rejected):
            return found
        if found.origin.kind is not RowKind.SEED:
            self._made[split, row.id] = found.origin
        if split is not Split.TRAIN:
            self._held.setdefault((split, found.origin.id), row.id)
        return None

    def kind(self, split: Split, row_id: str) -> RowKind:
        """Who made a row."""
        origin = self._made.get((split, row_id))
        return RowKind.SEED if origin is None else origin.kind

    def parted(
        self, split: Split, examples: Sequence[Example]
    ) -> tuple[list[Example], list[Rejected]]:
        """Rows of ``split`` that descend from no held-out row, and those that do."""
        kept: list[Example] = []
        leaks: list[Rejected] = []
        for example in examples:
            detail = self._leak(split, example.row_id)
            if detail is None:
                kept.append(example)
            else:
                leaks.append(reject(example, Reason.LEAK, detail))
        return kept, leaks

    def _leak(self, split: Split, row_id: str) -> str | None:
        origin = self._made.get((split, row_id))
        if origin is None:
            return None
        for home in _SOONER.get(split, ()):
            for ancestor in (origin.parent, origin.root):
                held = self._held.get((home, str(ancestor)))
                if held is not None and ancestor != origin.id:
                    return f"made from {home} row {held}"
        return None
