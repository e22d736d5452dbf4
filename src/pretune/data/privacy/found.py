"""What a recogniser says about a text, and which of several sayings hold."""

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol


class PrivateType(StrEnum):
    """What is private about a piece of text; the value is what its pseudonym begins with."""

    PERSON = "PERSON"
    PHONE = "PHONE"
    EMAIL = "EMAIL"
    ADDRESS = "ADDRESS"
    CARD = "CARD"
    ID = "ID"
    PLATE = "PLATE"
    ACCOUNT = "ACCOUNT"
    SECRET = "SECRET"


class Found(NamedTuple):
    """Characters ``start`` to ``end`` of a text are private.

    ``value`` is what they stand for, in one spelling for all that mean the same. ``certainty``, 0
    to 1, is an order among recognisers, no probability.
    """

    start: int
    end: int
    type: PrivateType
    value: str
    certainty: float


class Recogniser(Protocol):
    """Finds things of some types in a folded text (:mod:`pretune.data.privacy.folding`).

    Its time must be linear in the length of any text: repetitions are bounded.
    """

    def find(self, text: str) -> Iterable[Found]:
        """All that it recognises, in any order; they may overlap."""


_ORDER = {one: place for place, one in enumerate(PrivateType)}


def resolve(text: str, found: Iterable[Found]) -> list[Found]:
    """Those of ``found`` that hold, in order and without overlap; every character found by any of
    them is covered, but for spaces and marks at a cut.

    The longest wins; of equals the most certain. What a winner covers in part keeps the rest.
    """
    chosen: list[Found] = []
    for one in sorted(found, key=lambda f: (f.start - f.end, -f.certainty, _ORDER[f.type], f)):
        for start, end in _uncovered(one.start, one.end, chosen):
            if (start, end) == (one.start, one.end):
                insort(chosen, one)
                continue
            start, end = _trimmed(text, start, end)
            if start < end:
                value = " ".join(text[start:end].casefold().split())
                insort(chosen, one._replace(start=start, end=end, value=value))
    return chosen


def _uncovered(start: int, end: int, chosen: Sequence[Found]) -> list[tuple[int, int]]:
    """The pieces of ``start`` to ``end`` that none of ``chosen``, in order, covers."""
    pieces = []
    at = bisect_right(chosen, start, key=lambda one: one.start)
    for place in range(max(0, at - 1), len(chosen)):
        one = chosen[place]
        if one.start >= end:
            break
        if one.start > start:
            pieces.append((start, one.start))
        start = max(start, one.end)
    return [*pieces, (start, end)] if start < end else pieces


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and not text[start].isalnum():
        start += 1
    while start < end and not text[end - 1].isalnum():
        end -= 1
    return start, end
