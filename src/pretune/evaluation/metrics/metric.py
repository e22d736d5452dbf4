"""What a metric is: statistics that add up over rows, and a value of their sum.

Everything else follows from the two. The metric of a run is the value of the summed statistics; a
bootstrap resample is another sum of the same rows; a permutation test swaps rows between two sums.
So BLEU and macro F1, which are no means of rows, cost no more to resample than accuracy does.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from pretune.core.errors import DataError
from pretune.core.records import Prediction

Array = NDArray[np.float64]

_REGISTERED: list[type["Metric"]] = []
_M = TypeVar("_M", bound="Metric")


class Metric(ABC):
    """A measure of answers against what was right; values lie between 0 and 1 for every metric,
    BLEU and chrF included."""

    name: ClassVar[str]
    higher_is_better: ClassVar[bool] = True
    unit: ClassVar[str] = "share of 1"

    @abstractmethod
    def statistics(self, predictions: Sequence[Prediction]) -> Array:
        """Sufficient statistics of each row, shape (rows, k).

        Row order is kept. ``k`` depends on the right answers alone, so two runs over the same rows
        have statistics that can be mixed row by row.

        Raises:
            DataError: no predictions, or rows without what the metric needs.
        """

    @abstractmethod
    def value(self, totals: Array) -> Array:
        """Metric of each sum of statistics: shape (..., k) to shape (...)."""

    @final
    def corpus(self, predictions: Sequence[Prediction]) -> float:
        """The metric of all ``predictions`` together.

        Raises:
            DataError: no predictions, or rows without what the metric needs.
        """
        return float(self.value(self.statistics(predictions).sum(axis=0)))


def register(metric: type[_M]) -> type[_M]:
    """Make a metric known under its ``name``; used as a decorator."""
    if any(known.name == metric.name for known in _REGISTERED):
        raise ValueError(f'metric "{metric.name}" is registered twice; choose another name')
    _REGISTERED.append(metric)
    return metric


def registered() -> list[Metric]:
    """One instance of every registered metric."""
    return [metric() for metric in _REGISTERED]


def ratio(top: Array, bottom: Array) -> Array:
    """``top / bottom``, and 0 where ``bottom`` is 0."""
    return np.divide(top, bottom, out=np.zeros(np.shape(top)), where=bottom > 0)


def f1(hits: Array, predicted: Array, right: Array) -> Array:
    """F1 of counts: twice the hits over all that was predicted and all that was right."""
    return ratio(2 * hits, predicted + right)


def apply_rows(function: Callable[[Array], float], totals: Array) -> Array:
    """``function`` of the last axis, for libraries that take one list at a time."""
    return np.apply_along_axis(function, -1, totals)


def need_rows(predictions: Sequence[Prediction], metric: str) -> None:
    """Raise DataError unless there is at least one prediction."""
    if not predictions:
        raise DataError(
            f'metric "{metric}" has no predictions to measure; '
            "give it at least one row (check the split and its report)"
        )


def need_references(predictions: Sequence[Prediction], metric: str) -> None:
    """Raise DataError unless every row has at least one reference."""
    need_rows(predictions, metric)
    for prediction in predictions:
        if not prediction.references:
            raise DataError(
                f'metric "{metric}" needs a right answer, and row "{prediction.row_id}" has none; '
                "add one to the row or remove the row"
            )


def gold_labels(predictions: Sequence[Prediction], metric: str) -> list[str]:
    """The right label of every row; DataError where one is missing."""
    need_rows(predictions, metric)
    labels: list[str] = []
    for prediction in predictions:
        if prediction.gold is None:
            raise DataError(
                f'metric "{metric}" needs labels, and row "{prediction.row_id}" has none; '
                'add "labels:" to the task, or use a metric of text such as "exact_match"'
            )
        labels.append(prediction.gold)
    return labels
