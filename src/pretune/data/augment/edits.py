"""Changes of a text, and what they move."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Edit(NamedTuple):
    """The characters from ``start`` to ``end`` become ``new``; with ``start == end`` it is put in
    between."""

    start: int
    end: int
    new: str


class Span(NamedTuple):
    """Characters of a text, from ``start`` up to ``end``."""

    start: int
    end: int

    def touches(self, start: int, end: int) -> bool:
        """Whether a change of ``start`` to ``end`` changes this span, putting in included."""
        return start < self.end and end > self.start


def apply(text: str, edits: Sequence[Edit]) -> str:
    """``text`` with ``edits``, which do not overlap."""
    parts, place = [], 0
    for edit in sorted(edits):
        parts += [text[place : edit.start], edit.new]
        place = edit.end
    return "".join([*parts, text[place:]])


def moved(span: Span, edits: Iterable[Edit]) -> Span | None:
    """Where ``span`` is after ``edits``; ``None`` if one of them crosses its border."""
    start, end = span
    for edit in edits:
        shift = len(edit.new) - (edit.end - edit.start)
        if edit.end <= span.start:
            start, end = start + shift, end + shift
        elif edit.start >= span.end:
            continue
        elif edit.start >= span.start and edit.end <= span.end:
            end += shift
        else:
            return None
    return Span(start, end)
