"""Micro F1: one F1 over the decisions of all labels together."""

from collections.abc import Sequence

import numpy as np

from pretune.core.records import Prediction
from pretune.evaluation.metrics.metric import Array, Metric, f1, gold_labels, register


@register
class MicroF1(Metric):
    """F1 of all (row, label) decisions. An answer that means no known label costs recall alone;
    where every answer means one, micro F1 equals accuracy. The value is scikit-learn's
    ``f1_score(average="micro", labels=<all known labels>)``.
    """

    name = "micro_f1"

    def statistics(self, predictions: Sequence[Prediction]) -> Array:
        """Hit, predicted, right; shape (rows, 3)."""
        gold = gold_labels(predictions, self.name)
        rows = zip(predictions, gold, strict=True)
        return np.asarray(
            [(one.label == label, one.label is not None, 1) for one, label in rows], float
        )

    def value(self, totals: Array) -> Array:
        """F1 of the counts."""
        return f1(totals[..., 0], totals[..., 1], totals[..., 2])
