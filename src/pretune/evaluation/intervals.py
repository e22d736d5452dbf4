"""Confidence intervals by the bootstrap: resample rows, sum their statistics, take percentiles."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pretune.core.records import Prediction
from pretune.evaluation.metrics import Metric
from pretune.evaluation.metrics.metric import Array

RESAMPLES = 1000
CONFIDENCE = 0.95

_ROUNDING = 1e-12
"""Width of an interval up to which resamples differ by the order of their sums alone."""

_BLOCK = 2**23
"""Most numbers held at once while resampling (64 MiB)."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A measured ``value`` over ``n`` rows, and the 95 % interval ``low`` to ``high`` around it."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    @property
    def spread(self) -> float:
        """Distance from ``low`` to ``high``."""
        return self.high - self.low


def interval(metric: Metric, predictions: Sequence[Prediction], *, seed: int = 0) -> Interval:
    """``metric`` of ``predictions`` with its 95 % interval, see :func:`interval_of`.

    Raises:
        DataError: no predictions, or rows without what the metric needs.
    """
    return interval_of(metric.statistics(predictions), metric.value, seed=seed)


def interval_of(
    statistics: Array, value_of: Callable[[Array], Array], *, seed: int = 0
) -> Interval:
    """A value of summed ``statistics`` (rows, k) with its 95 % percentile interval of 1,000
    resamples of the rows; ``value_of`` takes sums (..., k).

    The interval is widened where it would miss the value itself. Where no resample differs (every
    row right, say), it is widened by 3 / n instead: what n rows did not show at all may still be
    that frequent (the rule of three, Hanley and Lippman-Hand 1983).
    """
    value = float(value_of(statistics.sum(axis=0)))
    low, high = percentiles(value_of(resampled_totals(statistics, seed)))
    return widened(Interval(value, min(low, value), max(high, value), len(statistics)))


def widened(found: Interval, *, least: float = 0.0) -> Interval:
    """``found`` of a value between ``least`` and 1, by the rule of three where no resample
    differs."""
    if found.spread >= _ROUNDING:
        return found
    unseen = 3 / found.n
    low, high = max(least, found.value - unseen), min(1.0, found.value + unseen)
    return replace(found, low=low, high=high)


def percentiles(values: Array) -> tuple[float, float]:
    """The two percentiles between which the middle 95 % of ``values`` lie."""
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(values, (tail, 100 - tail))
    return float(low), float(high)


def resampled_totals(statistics: Array, seed: int) -> Array:
    """Sums of ``statistics`` (rows, k) over resampled rows; shape (1000, k).

    The draws depend on the number of rows and the seed alone: two runs over the same rows are
    resampled alike, which is what a paired comparison needs.
    """
    rows = len(statistics)
    return np.concatenate([counts @ statistics for counts in _draws(rows, seed)])


def _draws(rows: int, seed: int) -> Iterator[Array]:
    """How often each row is drawn in each resample, in blocks of shape (resamples, rows)."""
    random = np.random.default_rng(seed)
    block = max(1, min(RESAMPLES, _BLOCK // rows))
    for start in range(0, RESAMPLES, block):
        size = min(block, RESAMPLES - start)
        drawn = random.integers(0, rows, (size, rows)) + np.arange(size)[:, None] * rows
        counts = np.bincount(drawn.ravel(), minlength=size * rows)
        yield counts.reshape(size, rows).astype(float)
