"""The small language of a rule's phrases: ``{slot}``, ``{slot!}`` and ``(one|another)``.

``{name}`` stands for a value of that slot, ``{name!}`` for one that begins with a capital letter,
``(a|b)`` for one of the choices, which may be empty. Parentheses without a bar, ``{{`` and ``}}``
are plain characters.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from pretune.core.errors import SpecError

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[(|){}]|[^{}()|]+")
_DEEPEST = 20


class Text(NamedTuple):
    """Plain text."""

    text: str


class Slot(NamedTuple):
    """A value of the slot ``name``."""

    name: str
    capital: bool = False


class Choice(NamedTuple):
    """One of some phrases, each as likely."""

    options: tuple["Phrase", ...]


Part = Text | Slot | Choice
Phrase = tuple[Part, ...]


def parse_phrase(text: str) -> Phrase:
    """The parts of a phrase.

    Raises:
        SpecError: a brace without its partner, braces without a name, or choices nested too deep.
    """
    return _Parser(text).whole()


def slots_of(phrase: Phrase) -> Iterator[str]:
    """Names of the slots in ``phrase``, in order, as often as they stand there."""
    for part in phrase:
        if isinstance(part, Slot):
            yield part.name
        elif isinstance(part, Choice):
            for option in part.options:
                yield from slots_of(option)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [(match.group(0), match.group(1)) for match in _TOKEN.finditer(text)]
        self._place = 0

    def whole(self) -> Phrase:
        """All of it; a bar or a closing parenthesis out here is plain text."""
        parts: list[Part] = []
        while self._place < len(self._tokens):
            parts += self._sequence(0)
            if self._place < len(self._tokens):
                parts.append(Text(self._next()[0]))
        return _joined(parts)

    def _next(self) -> tuple[str, str | None]:
        self._place += 1
        return self._tokens[self._place - 1]

    def _sequence(self, depth: int) -> list[Part]:
        """Parts up to a bar, a closing parenthesis or the end, which is not taken."""
        parts: list[Part] = []
        while self._place < len(self._tokens) and self._tokens[self._place][0] not in "|)":
            token, name = self._next()
            if name is not None:
                parts.append(self._slot(name))
            elif token in ("{{", "}}"):
                parts.append(Text(token[0]))
            elif token in "{}":
                raise SpecError(
                    f'"{token}" without its partner in "{self._text}"; '
                    f'write "{token * 2}" for a plain brace'
                )
            elif token == "(":
                parts += self._choice(depth + 1)
            else:
                parts.append(Text(token))
        return parts

    def _slot(self, name: str) -> Slot:
        bare = name.removesuffix("!").strip()
        if not bare:
            raise SpecError(
                f'empty braces in "{self._text}"; name a slot as in "{{city}}", '
                'or write "{{}}" for plain braces'
            )
        return Slot(bare, name.endswith("!"))

    def _choice(self, depth: int) -> list[Part]:
        if depth > _DEEPEST:
            raise SpecError(f'choices are nested over {_DEEPEST} deep in "{self._text[:40]}..."')
        options = [self._sequence(depth)]
        while self._place < len(self._tokens) and self._tokens[self._place][0] == "|":
            self._next()
            options.append(self._sequence(depth))
        closed = self._place < len(self._tokens)
        if closed:
            self._next()
        if len(options) == 1:
            return [Text("("), *options[0], *([Text(")")] if closed else [])]
        if not closed:
            raise SpecError(f'"(" without its partner in "{self._text}"')
        return [Choice(tuple(_joined(option) for option in options))]


def _joined(parts: list[Part]) -> Phrase:
    """Neighbouring texts as one."""
    found: list[Part] = []
    for part in parts:
        if isinstance(part, Text) and found and isinstance(found[-1], Text):
            found[-1] = Text(found[-1].text + part.text)
        else:
            found.append(part)
    return tuple(found)
