"""Tables behind a metric: each label's precision and recall, and which labels are confused."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pretune.core.records import Prediction
from pretune.evaluation.metrics.entity_f1 import entity_tags
from pretune.evaluation.metrics.metric import gold_labels

NO_LABEL = ""
"""Stands in a confusion for an answer that means no known label."""


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One label or entity type. Shares lie between 0 and 1; ``support`` is rows or mentions."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often ``gold`` was answered as ``answered``."""

    gold: str
    answered: str
    count: int


def label_table(predictions: Sequence[Prediction]) -> tuple[LabelRow, ...]:
    """Each label among the right answers, in the order of the alphabet.

    Raises:
        DataError: no predictions, or rows without a label.
    """
    from sklearn.metrics import precision_recall_fscore_support

    gold = gold_labels(predictions, "label table")
    labels = sorted(set(gold))
    columns = precision_recall_fscore_support(
        gold, [one.label or NO_LABEL for one in predictions], labels=labels, zero_division=0
    )
    return _rows(labels, columns)


def entity_table(predictions: Sequence[Prediction]) -> tuple[LabelRow, ...]:
    """Each entity type among the right answers, in the order of the alphabet; by seqeval.

    Types that only answers name are left out: they may be any text.
    """
    from seqeval.metrics.sequence_labeling import precision_recall_fscore_support

    tags = [entity_tags(prediction) for prediction in predictions]
    right, listed = [one for one, _ in tags], [other for _, other in tags]
    kinds = sorted({tag[2:] for pair in tags for row in pair for tag in row if tag != "O"})
    if not kinds:
        return ()  # seqeval cannot take a mean of nothing
    columns = precision_recall_fscore_support(right, listed, average=None, zero_division=0)
    return tuple(row for row in _rows(kinds, columns) if row.support)


def confusions(predictions: Sequence[Prediction]) -> tuple[Confusion, ...]:
    """Every (right, answered) pair of labels that occurs, right ones included, by right label.

    Raises:
        DataError: no predictions, or rows without a label.
    """
    gold = gold_labels(predictions, "confusions")
    counts = Counter(
        (label, one.label or NO_LABEL) for label, one in zip(gold, predictions, strict=True)
    )
    return tuple(Confusion(*pair, count) for pair, count in sorted(counts.items()))


def top_confusions(pairs: Sequence[Confusion], most: int = 10) -> tuple[Confusion, ...]:
    """The ``most`` frequent mistakes among ``pairs``, most frequent first."""
    mistakes = [pair for pair in pairs if pair.gold != pair.answered]
    return tuple(sorted(mistakes, key=lambda pair: -pair.count)[:most])


def _rows(labels: Sequence[str], columns: Sequence[Sequence[float]]) -> tuple[LabelRow, ...]:
    precision, recall, f1, support = columns
    return tuple(
        LabelRow(label, float(precision[i]), float(recall[i]), float(f1[i]), int(support[i]))
        for i, label in enumerate(labels)
    )
