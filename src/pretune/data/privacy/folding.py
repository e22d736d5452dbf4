"""Unicode's disguises taken off: one plain character for each that looks or counts like it.

Full-width and other digits become ASCII digits, dashes and spaces become plain, and what shows
nothing (zero-width characters, soft hyphens, variation selectors) is dropped. Offsets lead back.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u20e3\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
    "\U000e0000-\U000e0fff]+"
)


_KEPT = "，；！？\u2028\u2029\x85"
"""Marks that end a piece of text: as ASCII they could go on in a password."""


class Folded(NamedTuple):
    """A plain text; its character ``i`` is character ``places[i]`` of the source.

    ``places`` is one longer than the text.
    """

    text: str
    places: Sequence[int]

    def source(self, start: int, end: int) -> tuple[int, int]:
        """Where ``start`` to ``end``, which is not empty, stands in the source."""
        return self.places[start], self.places[end - 1] + 1


class _Plain(dict[int, int]):
    """Code point to plain code point, filled as characters are met."""

    def __missing__(self, code: int) -> int:
        self[code] = ord(_plain(chr(code)))
        return self[code]


def _plain(character: str) -> str:
    if character.isascii() or character in _KEPT:
        return character
    digit = unicodedata.digit(character, None)
    if digit is not None:
        return str(digit)
    category = unicodedata.category(character)
    if category == "Pd" or character in "\u2212\u30fc":
        return "-"
    if category == "Zs":
        return " "
    composed = unicodedata.normalize("NFKC", character)
    return composed if len(composed) == 1 else character


_PLAIN = _Plain()


def fold(text: str) -> Folded:
    """``text`` without disguises."""
    if text.isascii() and not _UNSEEN.search(text):
        return Folded(text, range(len(text) + 1))
    plain = text.translate(_PLAIN)
    if not _UNSEEN.search(text):
        return Folded(plain, range(len(text) + 1))
    kept: list[int] = []
    pieces: list[str] = []
    at = 0
    for match in _UNSEEN.finditer(text):
        kept.extend(range(at, match.start()))
        pieces.append(plain[at : match.start()])
        at = match.end()
    kept.extend(range(at, len(text) + 1))
    pieces.append(plain[at:])
    return Folded("".join(pieces), kept)
