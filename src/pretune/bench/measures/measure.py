"""What a measure is."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pretune.bench.figures import Figure
from pretune.bench.stand import Stand

Tell = Callable[[float], None]
"""Told which share of the measure is done."""


class Measure(NamedTuple):
    """``run`` yields ``figures``, by name; ``seconds`` is what it takes in full on two cores."""

    figures: tuple[str, ...]
    seconds: float
    run: Callable[[Stand, Tell], Sequence[Figure]]
