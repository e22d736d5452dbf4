"""The variants of one row: chains of operators in turn, and what was refused of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from pretune.core.errors import BudgetError
from pretune.core.origin import KEY, content_id
from pretune.data.augment.labelprobe import Doubts
from pretune.data.augment.operator import Operator
from pretune.data.augment.refusal import Fault, Refused
from pretune.data.augment.rewriter import Rewriter
from pretune.data.augment.varied import Columns, Varied
from pretune.data.workshop.tracked import Tracked
from pretune.spec.augmenting import AugmentSpec

_DRAWS = 5
"""Draws for a variant that differs from its row and from the variants before."""


@dataclass
class Variants:
    """What came of a row, in order: fields by the chain that made them. ``unasked``: what the
    budget did not reach."""

    of: Tracked
    made: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    refused: list[tuple[str, Refused]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    unasked: BudgetError | None = None


class Varier:
    """Threads may share it."""

    def __init__(
        self,
        spec: AugmentSpec,
        operators: Mapping[str, Operator],
        columns: Columns,
        doubts: Doubts | None = None,
    ) -> None:
        self._spec, self._columns, self._doubts = spec, columns, doubts
        self._chains = [
            (named, [operators[name] for name in named.split("+")]) for named in spec.operators
        ]

    def vary(self, given: Tracked) -> Variants:
        """Make the variants of a row; a spent budget ends it and is noted.

        Raises:
            TeacherError: the teacher answers no more.
        """
        found = Variants(given)
        fields = {name: value for name, value in given.row.fields.items() if name != KEY}
        seen = {content_id(fields)}
        try:
            for k in range(self._spec.per_row):
                named, chain = self._chains[k % len(self._chains)]
                rng = Random(f"{self._spec.seed}/{given.origin.id}/{k}")
                self._one(fields, named, chain, rng, seen, found)
        except BudgetError as error:
            found.unasked = error
        return found

    def _one(
        self,
        fields: Mapping[str, Any],
        named: str,
        chain: Sequence[Operator],
        rng: Random,
        seen: set[str],
        found: Variants,
    ) -> None:
        """Add the variant ``named``, different from all that were ``seen``."""
        rewriting = self._spec.rewriting
        asks = rewriting is not None and any(isinstance(one, Rewriter) for one in chain)
        for _ in range(rewriting.tries if rewriting and asks else _DRAWS):
            try:
                varied = self._drawn(fields, chain, rng)
                if asks and varied != fields:
                    self._check(found.of.row.id, fields, varied, seen)
            except Refused as refused:
                found.refused.append((named, refused))
                found.counts[f"{named}, rejected: {refused.fault}"] += 1
                continue
            own = content_id(varied)
            if own not in seen:
                seen.add(own)
                found.made.append((named, varied))
                found.counts[named] += 1
                return
            if asks:
                break  # no text of the user's: another answer would change nothing
        else:
            if asks:
                return  # what was refused is counted
        found.counts[f"{named}: nothing to change"] += 1

    def _drawn(
        self, fields: Mapping[str, Any], chain: Sequence[Operator], rng: Random
    ) -> dict[str, Any]:
        """``fields`` under all operators of ``chain`` that find something to change."""
        varied = dict(fields)
        for operator in chain:
            varied = dict(operator.vary(Varied(varied, self._columns), rng) or varied)
        return varied

    def _check(
        self, row_id: str, fields: Mapping[str, Any], varied: Mapping[str, Any], seen: set[str]
    ) -> None:
        text = "\n".join(Varied(varied, self._columns).texts.values())
        if content_id(varied) in seen:
            raise Refused(Fault.REPEATED, text)
        if self._doubts is not None and self._doubts(row_id, fields, varied):
            raise Refused(Fault.LABEL, text)
