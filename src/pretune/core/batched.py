"""Batches of an iterator, as ``itertools.batched`` of Python 3.12 makes them, in lists."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batched(items: Iterable[T], most: int) -> Iterator[list[T]]:
    """``items`` in their order, ``most`` at a time; the last batch may be smaller."""
    left = iter(items)
    while some := list(islice(left, most)):
        yield some
