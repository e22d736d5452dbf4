"""One row's values: drawn once where they are bound, anew wherever a slot is said."""

import re
from dataclasses import dataclass, field
from random import Random

from pretune.data.rules.book import Book, Rule
from pretune.data.rules.values import (
    Mark,
    Value,
    draw_code,
    draw_date,
    draw_number,
    plain_text,
    write,
)
from pretune.data.rules.words import Record
from pretune.data.splits import Split
from pretune.spec.expression import Operand
from pretune.spec.phrase import Choice, Phrase, Slot

_BEFORE_VOWEL = re.compile(r"(?:^|(?<=\W))([Aa]) $")

Pick = tuple[str, int]
"""A slot or table, and the number of the phrase or record that was taken."""


class Unfit(Exception):
    """What was drawn breaks a condition; draw again. ``rule_part`` says which."""

    def __init__(self, rule_part: str) -> None:
        super().__init__(rule_part)
        self.rule_part = rule_part


@dataclass(slots=True)
class Said:
    """Text as it grows, and where bound values stand in it."""

    text: str = ""
    marks: list[Mark] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Append ``text``; an article before it becomes "an" where its sound asks for it."""
        if text[:1] in "aeiou" and text and _BEFORE_VOWEL.search(self.text[-3:]):
            self.text = f"{self.text[:-1]}n "
        self.text += text

    def add_value(self, name: str, value: Value, capital: bool) -> None:
        """Append the value of ``name`` and note where it stands."""
        text = value.text[:1].upper() + value.text[1:] if capital else value.text
        self.add(text)
        start = len(self.text) - len(text)
        self.marks += [(inner, start + a, start + b) for inner, a, b in value.marks]
        self.marks.append((name, start, len(self.text)))


class Draw:
    """Draws and says the values of one row of ``rule``.

    ``picks`` are the phrases and records taken so far, in order; ``rng`` is what decides.
    """

    def __init__(self, book: Book, rule: Rule, part: Split, rng: Random) -> None:
        self.book = book
        self.rule = rule
        self._part = part
        self.rng = rng
        self._values: dict[str, Value] = {n: plain_text(t) for n, t in rule.fixed.items()}
        self._names = {*rule.fixed, *rule.compute, *rule.bind}
        self._records: dict[str, Record] = {}
        self._columns: dict[tuple[int, str], Value] = {}
        self.picks: list[Pick] = []

    def bind(self) -> None:
        """Draw what the rule binds, compute what follows, and check what must hold.

        Raises:
            Unfit: a condition does not hold, or no phrase is allowed.
        """
        for name, source in self.rule.bind.items():
            if source in self.book.tables:
                self._records[name] = self._record(source)
        for name in (*self.rule.bind, *self.rule.compute):
            if name not in self._records:
                self.value(name)
        for expression in self.rule.where:
            if not expression.value(self.operand):
                raise Unfit(f'where "{expression.text}"')

    def say(self, phrase: Phrase) -> Said:
        """``phrase`` with its slots filled."""
        said = Said()
        self._say(phrase, said, None)
        return said

    def value(self, name: str) -> Value:
        """The bound value ``name``, or ``name.column`` of a bound record; drawn or computed when it
        is first asked for."""
        if name not in self._values:
            if name in self.rule.compute:
                self._values[name] = self._computed(name)
            elif name in self.rule.bind:
                self._values[name] = self._slot(self.rule.bind[name], None)
            else:
                record, _, column = name.partition(".")
                return self._column(self._records[record], column)
        return self._values[name]

    def operand(self, name: str) -> Operand:
        """What expressions see of a bound value."""
        return self.value(name).operand

    def _say(self, phrase: Phrase, said: Said, scope: Record | None) -> None:
        for part in phrase:
            if isinstance(part, Slot):
                said.add_value(part.name, self._named(part.name, scope), part.capital)
            elif isinstance(part, Choice):
                self._say(self.rng.choice(part.options), said, scope)
            else:
                said.add(part.text)

    def _named(self, name: str, scope: Record | None) -> Value:
        if scope is not None and name in scope.columns:
            return self._column(scope, name)
        if name in self._names or name.partition(".")[0] in self._records:
            return self.value(name)
        return self._slot(name, scope)

    def _column(self, record: Record, column: str) -> Value:
        """A column's text, said once and then kept for the row."""
        key = (id(record), column)
        if key not in self._columns:
            self._columns[key] = self._filled(record.columns[column], record)
        return self._columns[key]

    def _slot(self, name: str, scope: Record | None) -> Value:
        source = self.book.sources.get(name)
        if source is None:
            return self._filled(self._phrase(name), scope)
        if source.number is not None:
            return draw_number(source.number, self.rng)
        if source.date is not None:
            return draw_date(source.date, self.rng)
        return draw_code(source.code or "", self.rng)

    def _filled(self, phrase: Phrase, scope: Record | None) -> Value:
        """A phrase that is one slot and nothing else is that slot's value, number and form."""
        if len(phrase) == 1 and isinstance(phrase[0], Slot) and not phrase[0].capital:
            return self._named(phrase[0].name, scope)
        said = Said()
        self._say(phrase, said, scope)
        return plain_text(said.text, said.marks)

    def _phrase(self, name: str) -> Phrase:
        entries = self.book.entries[name]
        allowed = [
            i
            for i in self.book.usable(name, self._part)
            if (when := entries[i].when) is None or when.value(self.operand)
        ]
        if not allowed:
            raise Unfit(f'slot "{name}", of which no phrase is allowed')
        (taken,) = self.rng.choices(allowed, [entries[i].weight for i in allowed])
        self.picks.append((name, taken))
        return entries[taken].phrase

    def _record(self, name: str) -> Record:
        taken = self.rng.choice(self.book.usable(name, self._part))
        self.picks.append((name, taken))
        # A copy: two bindings of one record are two draws, each with columns of its own.
        return Record(self.book.tables[name][taken].columns)

    def _computed(self, name: str) -> Value:
        expression, like = self.rule.compute[name]
        found = expression.value(self.operand)
        if isinstance(found, str):
            return Value(found, found)
        if isinstance(found, bool):
            return Value("true" if found else "false", found)
        written = None if like is None else self.value(like).written
        if written is None:
            return Value(f"{found.normalize():f}", found)
        try:
            return write(found, written)
        except ValueError as error:
            raise Unfit(f'compute "{name}"') from error
