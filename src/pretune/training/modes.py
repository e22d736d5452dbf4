"""The base while it is trained on: deterministic, and if asked with recomputed activations."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from pretune.bases import Base
from pretune.core.errors import TrainingError


@contextmanager
def trainable(base: Base, *, gradient_checkpointing: bool) -> Iterator[None]:
    """Ready ``base`` for backward passes in this block, and for measuring in between.

    The model stays in ``eval``: a frozen base must not drop out at random, and what is measured
    must be what is trained. Only blocks are told that they train, if they are to recompute their
    activations; their submodules, with their dropout, stay in ``eval``.

    Raises:
        TrainingError: activations are to be recomputed, and the base has no blocks that can.
    """
    blocks = [
        module
        for module in base.model.modules()
        if isinstance(module, GradientCheckpointingLayer) and gradient_checkpointing
    ]
    if gradient_checkpointing and not blocks:
        raise TrainingError(
            f'base "{base.name}" has no blocks that can recompute their activations; '
            "set gradient_checkpointing: false"
        )
    before = [module.training for module in blocks]
    for module in blocks:
        module.gradient_checkpointing = True
        # Nothing is random in an eval block, so there is no random state to bring back.
        module._gradient_checkpointing_func = partial(  # type: ignore[assignment]
            checkpoint, use_reentrant=False, preserve_rng_state=False
        )
        module.training = True
    try:
        yield
    finally:
        for module, training in zip(blocks, before, strict=True):
            module.gradient_checkpointing = False
            module.training = training
