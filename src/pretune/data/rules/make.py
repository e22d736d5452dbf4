"""Rules to rows: which rule at which place, no prompt twice, and the answers in their shares."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from pretune.core.digest import of_file
from pretune.core.errors import DataError, SpecError
from pretune.core.origin import RowKind, content_id, made, origin_of
from pretune.data.rules.book import Book, Rule
from pretune.data.rules.draw import Draw, Said, Unfit
from pretune.data.rules.turns import Turns
from pretune.data.splits import Split
from pretune.data.workshop.draft import Draft, write_rows
from pretune.data.workshop.seen import Seen
from pretune.data.workshop.step import Step, Written
from pretune.spec.phrase import Phrase, Slot, Text
from pretune.spec.rules import RulesSpec, SpansSpec

_PATIENCE = 1000
"""Draws for one row after which its rule is taken to be used up, or to contradict itself."""

_TWICE = "a prompt that came before"
_OTHER_ANSWER = "an answer that is not the quota's turn"


class UsedUp(DataError):
    """A rule that makes no more rows: its conditions never hold, or all its prompts are there."""

    def __init__(self, rule: str, made_rows: int, reason: str) -> None:
        super().__init__(
            f"{rule} made {made_rows} rows and then none in {_PATIENCE:,} draws: mostly {reason}; "
            "add phrases or values, loosen its conditions, or ask for fewer rows"
        )
        self.rule, self.reason = rule, reason


@dataclass(frozen=True)
class RuleRow:
    """A row and its hard negatives, without their origins, and the rule that made them."""

    rule: str
    fields: Mapping[str, Any]
    negatives: tuple[Mapping[str, Any], ...]


class Maker:
    """Makes ``total`` rows of ``book`` for ``part``; every place by itself, so it can begin
    anywhere once :meth:`remember` was told of the rows before.

    A row depends on the book, ``total``, ``seed``, ``part``, its place, and on which prompts came
    before.
    """

    def __init__(self, book: Book, total: int, seed: int, part: Split) -> None:
        self._book = book
        self._seed = seed
        self._part = part
        self._target = book.spec.target
        self._seen = Seen()
        self._made: Counter[str] = Counter()
        self.total = total
        quotas = book.spec.quotas
        self._answers: tuple[str | None, ...] = tuple(quotas) or (None,)
        self._quota = Turns(list(quotas.values()) or [1.0], total, seed)
        self._rules = [[r for r in book.rules if self._may_answer(r, a)] for a in self._answers]
        self._turns = []
        for answer, rules, count in zip(
            self._answers, self._rules, self._quota.counts, strict=True
        ):
            if not rules:
                known = sorted({c for r in book.rules if (c := self._constant(r)) is not None})
                raise SpecError(
                    f'rules "{book.spec.name}": no rule answers "{answer}", which has a quota; '
                    f"known: {', '.join(known)}"
                )
            self._turns.append(Turns([rule.weight for rule in rules], count, seed))

    def remember(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take rows that were made before as made."""
        for fields in rows:
            self._seen.add(asked_id(fields, self._target))

    def rows(self, start: int = 0) -> Iterator[RuleRow]:
        """The rows from place ``start`` on.

        Raises:
            UsedUp: a rule makes no more.
        """
        for place in range(start, self.total):
            answer, number = self._quota.at(place)
            turn = self._turns[answer].at(number)
            yield self._row(place, self._rules[answer][turn.item], self._answers[answer])

    def _row(self, place: int, rule: Rule, answer: str | None) -> RuleRow:
        failed: Counter[str] = Counter()
        for attempt in range(_PATIENCE):
            rng = Random(f"{self._seed}/{self._part}/{place}/{attempt}")
            draw = Draw(self._book, rule, self._part, rng)
            try:
                fields = draw_fields(rule, draw)
            except Unfit as unfit:
                failed[unfit.rule_part] += 1
                continue
            if answer is not None and fields[self._target] != answer:
                failed[_OTHER_ANSWER] += 1
            elif self._seen.add(asked_id(fields, self._target)):
                self._made[rule.name] += 1
                twins = [
                    twin
                    for twin in draw_negatives(rule, fields, draw, self._target)
                    if self._seen.add(asked_id(twin, self._target))
                ]
                return RuleRow(rule.name, fields, tuple(twins))
            else:
                failed[_TWICE] += 1
        raise UsedUp(
            f'rules "{self._book.spec.name}", {rule.name}',
            self._made[rule.name],
            failed.most_common(1)[0][0],
        )

    def _may_answer(self, rule: Rule, answer: str | None) -> bool:
        return answer is None or self._constant(rule) in (None, answer)

    def _constant(self, rule: Rule) -> str | None:
        """The one answer of ``rule``, if it has but one."""
        phrase = rule.fields[self._target]
        if isinstance(phrase, SpansSpec):
            return None
        said = [
            part.text if isinstance(part, Text) else rule.fixed.get(part.name)
            for part in phrase
            if isinstance(part, (Text, Slot))
        ]
        if len(said) < len(phrase) or None in said:
            return None
        return "".join(text for text in said if text is not None)


def draw_fields(rule: Rule, draw: Draw) -> dict[str, Any]:
    """The columns of one row of ``rule``.

    Raises:
        Unfit: what was drawn breaks a condition.
    """
    draw.bind()
    return _fields(rule.fields, draw)


def draw_negatives(
    rule: Rule, fields: Mapping[str, Any], draw: Draw, target: str
) -> Iterator[dict[str, Any]]:
    """Hard negatives of the row ``fields`` that ``draw`` made; none has the row's own answer."""
    for phrases, share in rule.negatives:
        if draw.rng.random() < share:
            twin = {**fields, **_fields({**rule.fields, **phrases}, draw, only=phrases)}
            if twin[target] != fields[target]:
                yield twin


def asked_id(fields: Mapping[str, Any], target: str) -> int:
    """What a row asks, as a 64-bit id: its texts but for the answer."""
    asked = {k: v for k, v in fields.items() if k != target and isinstance(v, str)}
    return int(content_id(asked), 16)


def _fields(
    phrases: Mapping[str, Phrase | SpansSpec], draw: Draw, only: Iterable[str] | None = None
) -> dict[str, Any]:
    """The columns of a row; with ``only``, those columns and the spans that stand in them."""
    said: dict[str, Said] = {}
    wanted = set(phrases) if only is None else set(only)
    for column, phrase in phrases.items():
        if not isinstance(phrase, SpansSpec) and column in wanted:
            said[column] = draw.say(phrase)
    found: dict[str, Any] = {}
    for column, phrase in phrases.items():
        if isinstance(phrase, SpansSpec):
            if phrase.spans in said:
                found[column] = _spans(said[phrase.spans], phrase.of)
        elif column in said:
            found[column] = said[column].text
    return found


def _spans(said: Said, types: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {"type": types[name], "text": said.text[start:end], "start": start, "end": end}
        for name, start, end in sorted(said.marks, key=lambda mark: mark[1:])
        if name in types
    ]


def make_rows(
    rules: RulesSpec,
    out: Path,
    count: int,
    *,
    seed: int = 0,
    part: Split = Split.TRAIN,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Written:
    """Write ``count`` rows of ``rules`` to ``out``, and their hard negatives, which come on top.

    ``part`` says for which split: what the rules hold out from training is said in the others
    alone. No prompt stands there twice. The same arguments give the same bytes, however often the
    process was killed on the way. Some 20 bytes a row stay in memory.

    Raises:
        SpecError: rules that cannot work. UsedUp: they do not make so many different rows.
        BusyError: see :func:`pretune.data.workshop.draft.write_rows`.
    """
    if count < 1:
        raise SpecError(f'"{count}" rows cannot be made; ask for 1 or more')
    book = Book(rules)
    maker = Maker(book, count, seed, part)
    settings = {"rules": book.digest, "rows": count, "seed": seed, "part": part.value}
    inputs = {path.name: of_file(path) for path in book.files}

    def work(draft: Draft) -> None:
        stamp = draft.step.stamp
        maker.remember(draft.written("rows"))
        for row in maker.rows(draft.units):
            fields = made(row.fields, RowKind.SYNTHETIC, "rules", stamp)
            draft.write("rows", fields)
            draft.count(row.rule)
            for twin in row.negatives:
                parent = origin_of(fields)
                draft.write("rows", made(twin, RowKind.SYNTHETIC, "rules", stamp, parent))
                draft.count("hard negatives")
            draft.end_unit()
            if progress is not None:
                progress(1)

    step = Step("rules", rules.name, settings, inputs, book.files)
    return write_rows(step, {"rows": out}, work, overwrite=overwrite)
