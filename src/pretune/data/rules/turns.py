"""Shares that come out exactly, without a counter to keep."""

from collections.abc import Sequence
from itertools import accumulate
from math import gcd
from typing import NamedTuple

from pretune.spec.mixing import exactly

_GOLDEN = (5**0.5 - 1) / 2
"""Steps of this share of a circle fill it most evenly."""


class Turn(NamedTuple):
    """Whose turn a place is, and how many of its turns come before this one by count."""

    item: int
    number: int


class Turns:
    """Who takes each of ``total`` places: item ``i`` as many as ``weights[i]`` gives it, evenly
    spread.

    The counts are exact (largest remainders), and a place is answered by itself, so making rows can
    begin anywhere. ``seed`` moves the beginning.
    """

    def __init__(self, weights: Sequence[float], total: int, seed: int = 0) -> None:
        self._total = total
        self.counts = _whole(weights, total)
        self._ends = list(accumulate(self.counts))
        self._stride = max(1, round(total * _GOLDEN))
        while gcd(self._stride, total) > 1:
            self._stride += 1
        self._offset = seed * 7919 % total if total else 0

    def at(self, place: int) -> Turn:
        """The turn at ``place``, 0 to ``total`` - 1."""
        spot = (self._offset + place * self._stride) % self._total
        item = next(i for i, end in enumerate(self._ends) if spot < end)
        return Turn(item, spot - (self._ends[item] - self.counts[item]))


def _whole(weights: Sequence[float], total: int) -> list[int]:
    """``total`` in whole parts in proportion to ``weights``; the largest remainders round up."""
    exact = [exactly(weight) for weight in weights]
    shares = [weight * total / sum(exact) for weight in exact]
    counts = [int(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda i: (counts[i] - shares[i], i))
    for i in by_remainder[: total - sum(counts)]:
        counts[i] += 1
    return counts
