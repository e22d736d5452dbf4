"""What a recogniser says about a text, and which of several sayings hold."""

from collections.abc import Iterable
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
            start, end = (
                _trimmed(text, start, end)
                if end - start < one.end - one.start
                else (
                    one.start,
                    one.end,
                )
            )
            if start < end:
                whole = (start, end) == (one.start, one.end)
                value = one.value if whole else " ".join(text[start:end].casefold().split())
                chosen.append(one._replace(start=start, end=end, value=value))
    return sorted(chosen)


def _uncovered(start: int, end: int, chosen: Iterable[Found]) -> list[tuple[int, int]]:
    """The pieces of ``start`` to ``end`` that none of ``chosen`` covers."""
    pieces = []
    for one in sorted(chosen):
        if one.end <= start or one.start >= end:
            continue
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
