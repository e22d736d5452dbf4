"""The learning rate as a pure function of the step: nothing to store, nothing to restore."""

import math
from collections.abc import Callable

from pretune.spec.training import TrainSpec

_SHAPES: dict[str, Callable[[float], float]] = {
    "linear": lambda done: 1.0 - done,
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),
    "constant": lambda done: 1.0,
}
"""Share of the peak rate by the share of the steps after warm-up that are done."""


def rate_factor(spec: TrainSpec, step: int, total: int) -> float:
    """Share of the peak rate at ``step`` (from 0) of ``total``.

    The first step of the warm-up already moves and the last step of a decay still does, so that no
    step is computed in vain.
    """
    warm = math.ceil(spec.warmup * total)
    if step < warm:
        return (step + 1) / warm
    return _SHAPES[spec.schedule]((step - warm) / (total - warm))
