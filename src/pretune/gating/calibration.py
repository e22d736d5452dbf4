"""Calibration: whether confidence is what it says (Guo et al. 2017, arXiv 1706.04599, section 2).

An answer's confidence is the probability of its label among all labels. The expected calibration
error is the mean distance, over rows, between a bin's mean confidence and its share of right
answers. Few rows make it look larger than it is, and their resamples larger still.
"""

from collections.abc import Sequence

import numpy as np

from pretune.core.records import Prediction
from pretune.evaluation.intervals import interval_of
from pretune.evaluation.metrics.metric import Array
from pretune.gating.evidence import Bin, Calibration, Measure

BINS = 15
"""Bins of equal width, as in the paper."""


def calibration(predictions: Sequence[Prediction]) -> Calibration | None:
    """The calibration of ``predictions``; ``None`` where they have no probabilities."""
    if not predictions or not all(one.scores and one.gold is not None for one in predictions):
        return None
    confidence = np.asarray([max(one.scores.values()) for one in predictions])
    right = np.asarray([one.label == one.gold for one in predictions], float)
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    chosen = np.eye(BINS)[place]
    columns = [chosen, chosen * confidence[:, None], chosen * right[:, None]]
    statistics = np.concatenate(columns, axis=1)
    rows, sums, hits = statistics.sum(axis=0).reshape(3, BINS)
    bins = tuple(
        Bin(
            low=i / BINS,
            high=(i + 1) / BINS,
            rows=int(rows[i]),
            confidence=float(sums[i] / rows[i]),
            right=float(hits[i] / rows[i]),
        )
        for i in range(BINS)
        if rows[i]
    )
    return Calibration(ece=Measure.from_interval(interval_of(statistics, _error)), bins=bins)


def _error(totals: Array) -> Array:
    """The error of sums (..., 3 x bins): rows, confidences, right answers."""
    parts = totals.reshape(*totals.shape[:-1], 3, BINS)
    rows, sums, hits = parts[..., 0, :], parts[..., 1, :], parts[..., 2, :]
    error: Array = np.abs(sums - hits).sum(axis=-1) / rows.sum(axis=-1)
    return error
