"""Whether a text says what another said, otherwise: by its letters, its length, its language."""

from functools import cache

from pretune.data.augment.refusal import Fault
from pretune.data.language import foreign
from pretune.data.terms import folded
from pretune.spec.rewriting import VariantCheckSpec

_LONGER = 3.0
"""How much longer one may be than the other, and as many characters beside."""

_SHORT = 20


def likeness(one: str, other: str) -> float:
    """F1 of the runs of 1 to 6 characters that two texts have in common, 0 to 1 (chrF with beta 1,
    Popovic 2015, as sacrebleu has it)."""
    if folded(one) == folded(other):
        return 1.0
    return float(_measure().sentence_score(folded(one), [folded(other)]).score) / 100


def unlike(new: str, old: str, spec: VariantCheckSpec, pivot: str | None = None) -> Fault | None:
    """What is wrong with ``new`` as a variant of ``old``; ``pivot``: the translation between."""
    if foreign(new, old):
        return Fault.LANGUAGE
    longer = max(len(new), len(old)), min(len(new), len(old))
    if longer[0] > _LONGER * longer[1] + _SHORT:
        return Fault.LENGTH
    like = likeness(new, old)
    if like > spec.most:
        return Fault.COPY
    if pivot is not None and likeness(new, pivot) > like:
        return Fault.LANGUAGE
    return Fault.UNLIKE if like < spec.least else None


@cache
def _measure():  # type: ignore[no-untyped-def] # sacrebleu has no types
    from sacrebleu.metrics.chrf import CHRF

    return CHRF(beta=1)
