"""Who made the rows of each split, and which of them are kin to a held-out row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pretune.core.origin import KEY, Origin, RowKind
from pretune.core.records import Example, Row
from pretune.data.rejected import Reason, Rejected, reject
from pretune.data.splits import Split
from pretune.data.workshop.tracked import tracked

_SOONER = {Split.TRAIN: (Split.TEST, Split.VALIDATION), Split.VALIDATION: (Split.TEST,)}
"""Splits whose rows a row of this one may neither descend from nor be an ancestor of."""


def varied(row: Row) -> bool:
    """Whether ``row`` was varied from another, which decides in which split both are."""
    if KEY not in row.fields:
        return False
    found = tracked(row)
    return not isinstance(found, Rejected) and found.origin.kind is RowKind.AUGMENTED


@dataclass
class Descent:
    """Origins of all rows by split and row id; made rows, and held-out rows, by their own id."""

    _origins: dict[tuple[Split, str], Origin] = field(default_factory=dict)
    _made: dict[str, Origin] = field(default_factory=dict)
    _held: dict[Split, dict[str, str]] = field(default_factory=lambda: {s: {} for s in Split})

    def add(self, split: Split, row: Row) -> Rejected | None:
        """Take in a row; what is wrong with its origin, if anything is."""
        found = tracked(row)
        if isinstance(found, Rejected):
            return found
        origin = self._origins[split, row.id] = found.origin
        if origin.kind is not RowKind.SEED:
            self._made.setdefault(origin.id, origin)
        if split is not Split.TRAIN:
            self._held[split].setdefault(origin.id, row.id)
        return None

    def kind(self, split: Split, row_id: str) -> RowKind:
        """Who made a row."""
        return self._origins[split, row_id].kind

    def parted(
        self, split: Split, examples: Sequence[Example]
    ) -> tuple[list[Example], list[Rejected]]:
        """Rows of ``split`` that are no kin to a held-out row, and those that are."""
        homes = _SOONER.get(split, ())
        made_of = {
            ancestor: f"{home} row {held} was made from it"
            for (home, held), origin in self._origins.items()
            if home in homes
            for ancestor in self._ancestors(origin)
        }
        kept: list[Example] = []
        leaks: list[Rejected] = []
        for example in examples:
            origin = self._origins[split, example.row_id]
            detail = self._made_from(origin, homes) or made_of.get(origin.id)
            if detail is None:
                kept.append(example)
            else:
                leaks.append(reject(example, Reason.LEAK, detail))
        return kept, leaks

    def _made_from(self, origin: Origin, homes: Sequence[Split]) -> str | None:
        for ancestor in self._ancestors(origin):
            for home in homes:
                if ancestor in self._held[home]:
                    return f"made from {home} row {self._held[home][ancestor]}"
        return None

    def _ancestors(self, origin: Origin) -> Iterator[str]:
        """What a row was made from: its parent, that one's, as far as rows tell; its root."""
        seen = {origin.id}
        parent = origin.parent
        while parent is not None and parent not in seen:
            yield parent
            seen.add(parent)
            parent = self._made[parent].parent if parent in self._made else None
        if origin.root not in seen:
            yield origin.root
