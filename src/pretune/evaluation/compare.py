"""Paired comparison of two runs over the same rows: is the second better than the first?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from pretune.core.errors import DataError
from pretune.core.records import Prediction
from pretune.evaluation.intervals import (
    CONFIDENCE,
    RESAMPLES,
    Interval,
    percentiles,
    resampled_totals,
)
from pretune.evaluation.metrics import Metric, get_metrics
from pretune.evaluation.metrics.metric import Array


class Verdict(StrEnum):
    """What the second run is, compared to the first."""

    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of two runs. ``delta`` is second minus first, with its paired bootstrap interval;
    ``p`` is two-sided, of the hypothesis that the two runs are interchangeable."""

    metric: str
    first: float
    second: float
    delta: Interval
    p: float
    verdict: Verdict


def compare(
    first: Sequence[Prediction],
    second: Sequence[Prediction],
    metrics: Iterable[str],
    *,
    seed: int = 0,
) -> tuple[Difference, ...]:
    """Compare two runs on each of ``metrics``; the order of rows does not matter.

    The interval resamples rows, the same ones for both runs. ``p`` comes from approximate
    randomisation (Noreen 1989): each row's two answers are swapped or not by a coin, which for
    accuracy is McNemar's test. The verdict is undecided unless both agree that there is a
    difference.

    Raises:
        DataError: the runs do not answer the same rows, or rows lack what a metric needs.
        UnknownName: a metric that does not exist.
    """
    return compare_repeated([(first, second)], metrics, seed=seed)


def compare_repeated(
    runs: Sequence[tuple[Sequence[Prediction], Sequence[Prediction]]],
    metrics: Iterable[str],
    *,
    seed: int = 0,
) -> tuple[Difference, ...]:
    """Compare pairs of runs over the same rows, such as one for each seed, taken together.

    A metric is that of all answers of a side. Rows are what is resampled and swapped, each with its
    answers in all runs: five runs over 100 rows are no 500 rows.

    Raises:
        DataError: no pair, or as :func:`compare`.
        UnknownName: a metric that does not exist.
    """
    if not runs:
        raise DataError("there are no runs to compare; give at least one pair")
    head = runs[0][0]
    firsts = [_pair(head, first) for first, _ in runs]
    seconds = [_pair(head, second) for _, second in runs]
    return tuple(_difference(metric, firsts, seconds, seed) for metric in get_metrics(metrics))


def _difference(
    metric: Metric,
    firsts: Sequence[Sequence[Prediction]],
    seconds: Sequence[Sequence[Prediction]],
    seed: int,
) -> Difference:
    before, after = _summed(metric, firsts), _summed(metric, seconds)
    value_before = float(metric.value(before.sum(axis=0)))
    value_after = float(metric.value(after.sum(axis=0)))
    delta = value_after - value_before
    low, high = percentiles(
        metric.value(resampled_totals(after, seed)) - metric.value(resampled_totals(before, seed))
    )
    p = _permutation_p(metric, before, after, delta, seed)
    verdict = Verdict.UNDECIDED
    if p < 1 - CONFIDENCE and (low > 0 or high < 0):
        better = (delta > 0) is metric.higher_is_better
        verdict = Verdict.BETTER if better else Verdict.WORSE
    difference = Interval(delta, min(low, delta), max(high, delta), len(before))
    return Difference(metric.name, value_before, value_after, difference, p, verdict)


def _summed(metric: Metric, runs: Sequence[Sequence[Prediction]]) -> Array:
    """Statistics of each row, its answers in all ``runs`` added up; shape (rows, k)."""
    total = metric.statistics(runs[0])
    for run in runs[1:]:
        total = total + metric.statistics(run)
    return total


def _permutation_p(metric: Metric, before: Array, after: Array, delta: float, seed: int) -> float:
    """Share of coin-flip swaps with a difference at least as large, the real one counted in."""
    change = after - before
    moved = change[np.any(change != 0, axis=1)]
    if not len(moved):
        return 1.0
    swaps = np.random.default_rng(seed).integers(0, 2, (RESAMPLES, len(moved))) @ moved
    swapped = metric.value(after.sum(axis=0) - swaps) - metric.value(before.sum(axis=0) + swaps)
    # The small allowance keeps sums in another order from counting as smaller.
    as_large = np.count_nonzero(np.abs(swapped) >= abs(delta) - 1e-12)
    return float((as_large + 1) / (RESAMPLES + 1))


def _pair(first: Sequence[Prediction], second: Sequence[Prediction]) -> list[Prediction]:
    """``second`` in the order of ``first``; DataError unless the rows are the same."""
    known = {one.row_id: one for one in second}
    wanted = {one.row_id: one for one in first}
    for side, rows in (("first", first), ("second", second)):
        if len({one.row_id for one in rows}) < len(rows):
            raise DataError(f"the {side} run answers a row twice; evaluate it again")
    missing = [row for row in wanted if row not in known]
    extra = [row for row in known if row not in wanted]
    if missing or extra:
        example = (missing or extra)[0]
        raise DataError(
            f"the runs answer different rows: {len(missing)} of the first are missing from the "
            f'second, {len(extra)} of the second from the first, such as row "{example}"; '
            "evaluate both on the same split"
        )
    for row, one in wanted.items():
        other = known[row]
        if (one.gold, one.references) != (other.gold, other.references):
            raise DataError(
                f'the runs hold different right answers for row "{row}"; '
                "the data changed between them: evaluate both again"
            )
    return [known[one.row_id] for one in first]
