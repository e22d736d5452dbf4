"""Exposure: how far a model gives away a secret that it has seen (Carlini et al. 2019, arXiv
1802.08232, definition 3)."""

import math
from collections.abc import Sequence


def exposure(secret: float, others: Sequence[float]) -> float:
    """Bits by which ``secret``'s log-probability shortens the search for it among ``others``, which
    were drawn as it was and never seen: from 0 to ``log2(len(others) + 1)``.

    Of a secret that was never seen it is 1.44 on average (minus the mean of log2 of a share), as
    every rank is as likely as any other.
    """
    rank = 1 + sum(other >= secret for other in others)
    return math.log2(len(others) + 1) - math.log2(rank)
