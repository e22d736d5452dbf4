"""Exact match: the share of answers that equal a reference."""

from collections.abc import Sequence

import numpy as np

from pretune.core.records import Prediction
from pretune.evaluation.metrics.metric import Array, Metric, need_references, ratio, register
from pretune.evaluation.metrics.text import normalise


@register
class ExactMatch(Metric):
    """Answers equal to any of their references, but for case, spaces, full-width forms, Chinese
    punctuation and a final full stop."""

    name = "exact_match"

    def statistics(self, predictions: Sequence[Prediction]) -> Array:
        """Equal or not, and one for the row; shape (rows, 2)."""
        need_references(predictions, self.name)
        equal = [
            normalise(one.text) in {normalise(reference) for reference in one.references}
            for one in predictions
        ]
        return np.stack([np.asarray(equal, float), np.ones(len(equal))], axis=1)

    def value(self, totals: Array) -> Array:
        """Equal rows over rows."""
        return ratio(totals[..., 0], totals[..., 1])
