"""Macro F1: the mean over labels of each label's F1."""

from collections.abc import Sequence

import numpy as np

from pretune.core.records import Prediction
from pretune.evaluation.metrics.metric import Array, Metric, f1, gold_labels, ratio, register


@register
class MacroF1(Metric):
    """Mean F1 of the labels that occur among the right answers; rare ones weigh as much as common.

    A wrong answer costs its right label recall, and the label it named precision. It opens no class
    of its own, so an answer that means no known label costs recall alone. The value is that of
    scikit-learn's ``f1_score(average="macro", labels=<labels among the right answers>)``.
    """

    name = "macro_f1"

    def statistics(self, predictions: Sequence[Prediction]) -> Array:
        """Per label: hit, predicted, right; shape (rows, 3 x labels), labels in sorted order."""
        gold = gold_labels(predictions, self.name)
        labels = {label: index for index, label in enumerate(sorted(set(gold)))}
        counts = np.zeros((len(gold), 3, len(labels)))
        for row, (one, label) in enumerate(zip(predictions, gold, strict=True)):
            counts[row, 2, labels[label]] = 1
            if one.label in labels:
                counts[row, 1, labels[one.label]] = 1
                counts[row, 0, labels[label]] = one.label == label
        return counts.reshape(len(gold), -1)

    def value(self, totals: Array) -> Array:
        """Mean F1 of the labels among the right answers: a resample may have lost a rare one, whose
        F1 is then 0 and not counted."""
        hits, predicted, right = np.split(totals, 3, axis=-1)
        there = (right > 0).sum(axis=-1).astype(float)
        return ratio(f1(hits, predicted, right).sum(axis=-1), there)
