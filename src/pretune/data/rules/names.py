"""Every name that rules speak of means something, and every phrase comes to an end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pretune.core.errors import SpecError
from pretune.core.names import unknown
from pretune.spec.expression import Expression
from pretune.spec.phrase import Choice, Phrase, Slot
from pretune.spec.rules import SpansSpec

if TYPE_CHECKING:
    from pretune.data.rules.book import Book, Rule

_LONGEST = 20_000
"""Characters that a phrase may come to with all its slots filled."""

_DEEPEST = 100
"""Phrases within phrases."""

_GUESS = 40
"""Characters allowed for a number, a date, a code, or a value bound before."""

Scope = Mapping[str, Phrase]
"""Columns of the record whose phrase is being said; they come before all other names."""


def check_names(book: Book, rule: Rule) -> frozenset[str]:
    """Walk all that ``rule`` can say; the slots and tables that it comes across.

    Raises:
        SpecError: a name that means nothing there, a table that is not bound, a slot that contains
            itself, or phrases that grow beyond all measure.
    """
    walk = _Walk(book, rule)
    walk.all()
    return frozenset(walk.reached)


class _Walk:
    def __init__(self, book: Book, rule: Rule) -> None:
        self._book = book
        self._rule = rule
        self._known = {*rule.fixed, *rule.compute}
        for name, source in rule.bind.items():
            table = book.tables.get(source)
            self._known |= {name} if table is None else {f"{name}.{c}" for c in table[0].columns}
        self.reached: set[str] = set()
        self._lengths: dict[tuple[str, int], int] = {}
        self._open: list[str] = []
        self._depth = 0
        self._done: set[str] = set(rule.fixed)

    def all(self) -> None:
        rule, tables = self._rule, self._book.tables
        self.reached |= set(rule.bind.values()) & tables.keys()
        for name in sorted(self._known):
            self._bound(name)
        for expression in rule.where:
            self._operands(expression)
        for phrase in rule.phrases():
            self._phrase(phrase, {}, ())
        for field in rule.fields.values():
            if isinstance(field, SpansSpec):
                for name in field.of:
                    self._operand(name)

    def _bound(self, name: str) -> None:
        """Walk what the bound name ``name`` is drawn or computed from, once."""
        if name in self._done:
            return
        self._refuse_circle(name, tuple(self._open))
        self._open.append(name)
        head, _, column = name.partition(".")
        if name in self._rule.compute:
            expression, like = self._rule.compute[name]
            self._operands(expression)
            if like is not None:
                self._operand(like)
        elif name in self._rule.bind:
            self._slot(self._rule.bind[name], {}, ())
        else:
            for record in self._book.tables[self._rule.bind[head]]:
                self._name(column, record.columns, ())
        self._open.pop()
        self._done.add(name)

    def _operand(self, name: str, where: str = "") -> None:
        if name not in self._known:
            raise self._wrong(f"{where}{unknown('bound name', name, self._known)}")
        self._bound(name)

    def _operands(self, expression: Expression) -> None:
        for name in sorted(expression.names):
            self._operand(name, f'expression "{expression.text}": ')

    def _phrase(self, phrase: Phrase, scope: Scope, path: tuple[str, ...]) -> int:
        """Most characters that ``phrase`` comes to."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._wrong(f"phrases are nested over {_DEEPEST} deep; nest them less")
        length = 0
        for part in phrase:
            if isinstance(part, Slot):
                length += self._name(part.name, scope, path)
            elif isinstance(part, Choice):
                length += max(self._phrase(option, scope, path) for option in part.options)
            else:
                length += len(part.text)
        if length > _LONGEST:
            shown = f'slot "{path[0]}"' if path else "a phrase"
            raise self._wrong(f"{shown} can grow over {_LONGEST:,} characters; nest it less")
        self._depth -= 1
        return length

    def _name(self, name: str, scope: Scope, path: tuple[str, ...]) -> int:
        if name in scope:
            self._refuse_circle(name, path)
            return self._phrase(scope[name], scope, (*path, name))
        if name in self._known:
            self._bound(name)
            return _GUESS
        return self._slot(name, scope, path)

    def _slot(self, name: str, scope: Scope, path: tuple[str, ...]) -> int:
        self.reached.add(name)
        if name in self._book.sources:
            return _GUESS
        if name not in self._book.entries:
            raise self._wrong(self._meaningless(name))
        self._refuse_circle(name, path)
        key = (name, id(scope))
        if key not in self._lengths:
            for entry in self._book.entries[name]:
                if entry.when is not None:
                    self._operands(entry.when)
            self._lengths[key] = max(
                self._phrase(entry.phrase, scope, (*path, name))
                for entry in self._book.entries[name]
            )
        return self._lengths[key]

    def _refuse_circle(self, name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = " -> ".join((*path[path.index(name) :], name))
            raise self._wrong(f'slot "{name}" contains itself: {circle}; take one reference out')

    def _meaningless(self, name: str) -> object:
        table = self._rule.bind.get(name, name)
        if table in self._book.tables:
            column = next(iter(self._book.tables[table][0].columns))
            if name in self._rule.bind:
                return f'"{name}" is a record; say one of its columns, as in "{{{name}.{column}}}"'
            return (
                f'table "{name}" is not bound; write "bind: [{name}]" and say "{{{name}.{column}}}"'
            )
        return unknown("slot", name, {*self._known, *self._book.entries, *self._book.sources})

    def _wrong(self, what: object) -> SpecError:
        return SpecError(f'rules "{self._book.spec.name}", {self._rule.name}: {what}')
