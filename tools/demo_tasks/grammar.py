"""Sentence patterns and word lists, and how they become text.

A word file has sections, ``[name]`` on a line of its own; their entries stand one a line or between
bars. In an entry ``{name}`` is replaced by an entry of that section, and ``(a|b)`` by one of the
choices.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from random import Random

from demo_tasks.numbers import MADE
from demo_tasks.parts import Part, fillers_of, patterns_of

WORDS = Path(__file__).parent / "words"
_HEAD = re.compile(r"\[(.+)\]")
_BAR = re.compile(r"\|(?![^(]*\))")  # not the bar of a choice
_CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")
_SLOT = re.compile(r"\{([^{}]+)\}")

Values = Mapping[str, str]
"""Texts for the slots that a row fixes, such as the amount that is its answer."""


def read_sections(path: Path) -> dict[str, list[str]]:
    """Entries of a word file by section; lines that begin with ``#`` are comments."""
    sections: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if head := _HEAD.fullmatch(line):
            entries = sections.setdefault(head[1], [])
        else:
            entries += [entry.strip() for entry in _BAR.split(line)]
    return sections


class Grammar:
    """Word files as one set of sections; a later file's section replaces an earlier one's."""

    def __init__(self, *names: str) -> None:
        self._sections: dict[str, list[str]] = {}
        for name in names:
            self._sections |= read_sections(WORDS / f"{name}.txt")

    def patterns(self, section: str, part: Part) -> list[str]:
        """The sentence patterns of ``section`` that ``part`` may use; no two parts share one."""
        return patterns_of(self._sections[section], part)

    def speaker(self, part: Part, rng: Random) -> "Speaker":
        """Who says the patterns of ``part``."""
        return Speaker(self._sections, part, rng)


class Speaker:
    """Turns patterns into text with the fillers of one part; draws from ``rng``."""

    def __init__(self, sections: Mapping[str, Sequence[str]], part: Part, rng: Random) -> None:
        self._sections = sections
        self._part = part
        self.rng = rng

    @cached_property
    def _fillers(self) -> dict[str, list[str]]:
        return {name: fillers_of(list(items), self._part) for name, items in self._sections.items()}

    def pick(self, section: str) -> str:
        """One entry of ``section``, filled."""
        return self.say(self.rng.choice(self._fillers[section]))

    def say(self, pattern: str, values: Values | None = None) -> str:
        """``pattern`` with its choices made and its slots filled; begins with a capital."""
        text = _ARTICLE.sub(r"\1n ", self.fill(pattern, values or {}))
        return text[:1].upper() + text[1:]

    def fill(self, pattern: str, values: Values) -> str:
        """As :meth:`say`, for the middle of a sentence."""
        while match := _CHOICE.search(pattern):
            chosen = self.rng.choice(match[1].split("|"))
            pattern = pattern[: match.start()] + chosen + pattern[match.end() :]
        return _SLOT.sub(lambda slot: self._slot(slot[1], values), pattern)

    def _slot(self, name: str, values: Values) -> str:
        if name in values:
            return values[name]
        if name in MADE:
            return MADE[name](self.rng)
        return self.fill(self.rng.choice(self._fillers[name]), values)
