"""Percentiles of latencies, with intervals that need no assumption on their distribution."""

import math
from collections.abc import Sequence

from pretune.evaluation.intervals import CONFIDENCE
from pretune.gating.evidence import Measure

_TAIL = (1 - CONFIDENCE) / 2


def percentile(values: Sequence[float], share: float) -> Measure:
    """The ``share`` (0 to 1) percentile of ``values`` by nearest rank.

    The interval lies between two of the values: how many of n lie below the true percentile is
    binomial (David and Nagaraja 2003, Order Statistics, section 7.1). Too few values bound it from
    below only. It takes the values for independent; a queue makes neighbours alike, so that under
    a heavy load the interval is somewhat too narrow.
    """
    from scipy.stats import binom

    ordered, count = sorted(values), len(values)
    rank = math.ceil(round(share * count, 9))  # 0.999 of 1,000 values is 999 of them, and no more
    low = int(binom.ppf(_TAIL, count, share))
    high = int(binom.ppf(1 - _TAIL, count, share)) + 1
    return Measure(
        value=ordered[max(0, rank - 1)],
        low=ordered[low - 1] if low else 0.0,
        high=ordered[high - 1] if high <= count else None,
        n=count,
        of="requests",
    )


def values_needed(share: float) -> int:
    """The fewest values that bound the ``share`` percentile from above."""
    return math.ceil(math.log(_TAIL) / math.log(share))
