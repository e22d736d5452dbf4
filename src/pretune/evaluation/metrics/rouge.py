"""ROUGE-1, ROUGE-2 and ROUGE-L, by rouge-score."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pretune.core.records import Prediction
from pretune.evaluation.metrics.metric import Array, Metric, need_references, ratio, register
from pretune.evaluation.metrics.text import words_and_characters

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer


class _Tokenizer:
    """The library's own tokenizer drops everything but a-z and 0-9, and so all of Chinese."""

    def tokenize(self, text: str) -> list[str]:
        return words_and_characters(text)


@functools.cache
def _scorer(kind: str) -> "RougeScorer":
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([kind], tokenizer=_Tokenizer())


class _Rouge(Metric):
    """Mean F-measure over rows, best reference each, no stemming; tokens are words, and single
    characters in Chinese."""

    kind: ClassVar[str]

    def statistics(self, predictions: Sequence[Prediction]) -> Array:
        """F-measure, and one for the row; shape (rows, 2)."""
        need_references(predictions, self.name)
        scorer: Any = _scorer(self.kind)
        measures = [
            scorer.score_multi(one.references, one.text)[self.kind].fmeasure for one in predictions
        ]
        return np.stack([np.asarray(measures, float), np.ones(len(measures))], axis=1)

    def value(self, totals: Array) -> Array:
        """Mean F-measure."""
        return ratio(totals[..., 0], totals[..., 1])


@register
class Rouge1(_Rouge):
    """Overlap of single tokens."""

    name, kind = "rouge_1", "rouge1"


@register
class Rouge2(_Rouge):
    """Overlap of pairs of neighbours."""

    name, kind = "rouge_2", "rouge2"


@register
class RougeL(_Rouge):
    """Longest common subsequence."""

    name, kind = "rouge_l", "rougeL"
