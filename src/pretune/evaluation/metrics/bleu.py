"""BLEU, by sacrebleu."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pretune.core.records import Prediction
from pretune.evaluation.metrics.metric import Array, Metric, apply_rows, need_references, register
from pretune.evaluation.metrics.text import is_cjk

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

ORDER = 4


@functools.cache
def _counter(tokenizer: str) -> "BLEU":
    from sacrebleu.metrics.bleu import BLEU

    # Effective order changes only the score of single sentences, of which we read the counts; it
    # stands here because sacrebleu warns about sentence scores without it.
    return BLEU(tokenize=tokenizer, effective_order=True)


@register
class Bleu(Metric):
    """Corpus BLEU-4 as sacrebleu computes it (exp smoothing), over 100.

    A row is split by sacrebleu's ``zh`` tokenizer where its references are Chinese, else by
    ``13a``: the choice is a row's own, so that no row changes what another one counts.
    """

    name = "bleu"

    def statistics(self, predictions: Sequence[Prediction]) -> Array:
        """Lengths of answer and closest reference, matches and totals of n-grams; (rows, 10)."""
        need_references(predictions, self.name)
        rows = []
        for one in predictions:
            chinese = any(is_cjk(reference) for reference in one.references)
            score = _counter("zh" if chinese else "13a").sentence_score(one.text, one.references)
            rows.append([score.sys_len, score.ref_len, *score.counts, *score.totals])
        return np.asarray(rows, float)

    def value(self, totals: Array) -> Array:
        """BLEU of the summed counts."""
        return apply_rows(_bleu, totals)


def _bleu(totals: Array) -> float:
    counts = [int(count) for count in totals]
    score = _counter("13a").compute_bleu(
        correct=counts[2 : 2 + ORDER],
        total=counts[2 + ORDER :],
        sys_len=counts[0],
        ref_len=counts[1],
        smooth_method="exp",
    )
    return score.score / 100
