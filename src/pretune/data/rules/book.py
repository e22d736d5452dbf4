"""A rules file made ready: words and tables read, phrases parsed, every name known."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import product
from pathlib import Path

from pretune.core import digest
from pretune.core.errors import SpecError
from pretune.data.rules.names import check_names
from pretune.data.rules.words import Entry, entry_of, read_table, read_words
from pretune.data.splits import Split
from pretune.spec.expression import Expression
from pretune.spec.phrase import Phrase, Slot, parse_phrase
from pretune.spec.rules import RuleSpec, RulesSpec, SlotSpec, SpansSpec

_CYCLE = (
    *(Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.TEST, Split.TRAIN, Split.VALIDATION),
    *(Split.TRAIN, Split.TRAIN, Split.TEST, Split.TRAIN, Split.TRAIN, Split.TEST),
)
"""The part that the n-th phrase of a held-out slot belongs to: even of six, each part has one."""

_SHARED_UP_TO = 9
"""Shorter lists of values (weekdays, kinds of card) are shared by all parts."""


@dataclass(frozen=True)
class Rule:
    """A rule for one value of each of its ``each`` names, which stand in ``fixed``."""

    name: str
    spec: RuleSpec
    weight: float
    fixed: Mapping[str, str]
    bind: Mapping[str, str]
    compute: Mapping[str, tuple[Expression, str | None]]
    where: tuple[Expression, ...]
    fields: Mapping[str, Phrase | SpansSpec]
    negatives: tuple[tuple[Mapping[str, Phrase], float], ...]

    @property
    def known(self) -> set[str]:
        """Names that its phrases may speak of, beside slots."""
        return {*self.fixed, *self.bind, *self.compute}

    def phrases(self) -> Iterator[Phrase]:
        """Phrases of its fields and of its negatives'."""
        for field in self.fields.values():
            if not isinstance(field, SpansSpec):
                yield field
        for fields, _ in self.negatives:
            yield from fields.values()


class Book:
    """Rules that can be drawn from.

    ``entries`` are phrases by slot, ``sources`` the slots that are drawn from a range, ``tables``
    the records; ``reached`` counts the rules that come across each of them.

    Raises:
        SpecError: an unknown name, a slot that contains itself, or one that grows without measure.
        DataError: a words or table file that cannot be read.
    """

    def __init__(self, spec: RulesSpec) -> None:
        self.spec = spec
        self.entries: dict[str, tuple[Entry, ...]] = {}
        self.sources: dict[str, SlotSpec] = {}
        for path in spec.words:
            self.entries |= read_words(path)
        for name, slot in spec.slots.items():
            self.entries.pop(name, None)
            if slot.phrases is None:
                self.sources[name] = slot
            else:
                self.entries[name] = tuple(map(entry_of, slot.phrases))
        self.tables = {name: read_table(name, rows) for name, rows in spec.tables.items()}
        self.rules = tuple(
            rule for place, one in enumerate(spec.rules, 1) for rule in _each(one, place)
        )
        self.reached = Counter(name for rule in self.rules for name in check_names(self, rule))
        for name in self.reached:
            self._refuse_to_hold_out_too_few(name)

    @cached_property
    def digest(self) -> str:
        """Digest of the rules with their words and tables."""
        said = self.spec.model_dump(mode="json", exclude={"words", "tables"})
        entries = {name: [entry.text for entry in found] for name, found in self.entries.items()}
        tables = {
            name: [{k: repr(v) for k, v in record.columns.items()} for record in records]
            for name, records in self.tables.items()
        }
        return digest.of_json([said, entries, tables])

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that were read beside the rules' own."""
        tables = [rows for rows in self.spec.tables.values() if isinstance(rows, Path)]
        return (*self.spec.words, *tables)

    def count(self, name: str) -> int:
        """Phrases or records of ``name``; none of a slot that is drawn from a range."""
        return len(self.entries.get(name) or self.tables.get(name, ()))

    def weight(self, name: str, number: int) -> float:
        """How often a phrase or record is taken, beside the others."""
        return self.entries[name][number].weight if name in self.entries else 1.0

    def said(self, name: str, number: int) -> str:
        """The phrase as it was written; nothing of a record."""
        return self.entries[name][number].text if name in self.entries else ""

    def usable(self, name: str, part: Split) -> tuple[int, ...]:
        """Numbers of the phrases or records of ``name`` that rows of ``part`` may use."""
        count, held = self.count(name), self.spec.hold_out
        if any(fnmatchcase(name, pattern) for pattern in held.phrases):
            return tuple(i for i in range(count) if _CYCLE[i % len(_CYCLE)] is part)
        long = count > _SHARED_UP_TO and any(fnmatchcase(name, one) for one in held.values)
        if part is Split.TRAIN and long:
            return tuple(range(count * 3 // 4))
        return tuple(range(count))

    def _refuse_to_hold_out_too_few(self, name: str) -> None:
        if self.count(name) and not all(self.usable(name, part) for part in Split):
            raise SpecError(
                f'rules "{self.spec.name}": hold_out.phrases names "{name}", which has '
                f"{self.count(name)} phrases; {len(_CYCLE) // 2} are needed, one for each part"
            )


def _each(spec: RuleSpec, place: int) -> Iterator[Rule]:
    """The rule for every combination of its ``each`` values."""
    name = spec.name or f"rule {place}"
    for combination in product(*(values.items() for values in spec.each.values())):
        fixed = dict(zip(spec.each, (value for value, _ in combination), strict=True))
        weight = spec.weight
        for _, one in combination:
            weight *= one
        yield Rule(
            name=f"{name} ({', '.join(fixed.values())})" if fixed else name,
            spec=spec,
            weight=weight,
            fixed=fixed,
            bind={key: _filled(source, fixed) for key, source in spec.bind.items()},
            compute={k: (Expression(one.value), one.like) for k, one in spec.compute.items()},
            where=tuple(map(Expression, spec.where)),
            fields={
                key: value if isinstance(value, SpansSpec) else parse_phrase(value)
                for key, value in spec.fields.items()
            },
            negatives=tuple(
                ({key: parse_phrase(text) for key, text in one.fields.items()}, one.share)
                for one in spec.negatives
            ),
        )


def _filled(source: str, fixed: Mapping[str, str]) -> str:
    """The name of a slot in which ``{each}`` names stand."""
    return "".join(
        fixed.get(part.name, part.name) if isinstance(part, Slot) else str(part[0])
        for part in parse_phrase(source)
    )
