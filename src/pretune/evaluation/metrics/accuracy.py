"""Accuracy: the share of rows with the right label."""

from collections.abc import Sequence

import numpy as np

from pretune.core.records import Prediction
from pretune.evaluation.metrics.metric import Array, Metric, gold_labels, ratio, register


@register
class Accuracy(Metric):
    """Right labels over all rows; an answer that means no known label is wrong."""

    name = "accuracy"

    def statistics(self, predictions: Sequence[Prediction]) -> Array:
        """Right or not, and one for the row; shape (rows, 2)."""
        gold = gold_labels(predictions, self.name)
        right = [one.label == label for one, label in zip(predictions, gold, strict=True)]
        return np.stack([np.asarray(right, float), np.ones(len(right))], axis=1)

    def value(self, totals: Array) -> Array:
        """Right rows over rows."""
        return ratio(totals[..., 0], totals[..., 1])
