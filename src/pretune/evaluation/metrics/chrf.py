"""chrF, by sacrebleu."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pretune.core.records import Prediction
from pretune.evaluation.metrics.metric import Array, Metric, apply_rows, need_references, register

if TYPE_CHECKING:
    from sacrebleu.metrics.chrf import CHRF


@functools.cache
def _chrf() -> "CHRF":
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


@register
class Chrf(Metric):
    """Corpus chrF2 (character 6-grams, beta 2) as sacrebleu computes it, over 100. It counts
    characters, so Chinese needs no tokenizer."""

    name = "chrf"

    def statistics(self, predictions: Sequence[Prediction]) -> Array:
        """Counts of answer, best reference and match for each n-gram order; shape (rows, 18)."""
        need_references(predictions, self.name)
        # sacrebleu gives chrF's counts to its own bootstrap only, through this method. A test holds
        # the result against the public corpus score.
        rows = [
            _chrf()._extract_corpus_statistics([one.text], [[ref] for ref in one.references])[0]
            for one in predictions
        ]
        return np.asarray(rows, float)

    def value(self, totals: Array) -> Array:
        """ChrF of the summed counts."""
        return apply_rows(lambda row: _chrf()._compute_f_score(row.tolist()) / 100, totals)
