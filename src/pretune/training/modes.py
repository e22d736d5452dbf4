"""The base while it is trained on: deterministic, and if asked with recomputed activations."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from pretune.adapters.matrices import is_quantized
from pretune.bases import Base
from pretune.core.errors import TrainingError


@contextmanager
def trainable(base: Base, *, gradient_checkpointing: bool) -> Iterator[None]:
    """Ready ``base`` for backward passes in this block, and for measuring in between.

    The model stays in ``eval``: a frozen base must not drop out at random, and what is measured
    must be what is trained. Two kinds of layer are told that they train, as only then

    - a block recomputes its activations (its submodules, with their dropout, stay in ``eval``);
    - a 4-bit layer keeps the layout that has gradients: on CPUs with AVX512-BF16 it would repack
      its weights for inference, and later backward passes would lose their gradient in silence.

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
    packable = [module for module in base.model.modules() if _is_packable(module)]
    before = [module.training for module in (*blocks, *packable)]
    for module in packable:
        module.state_dict()  # for this bitsandbytes brings back the layout of training
    for module in blocks:
        module.gradient_checkpointing = True
        # Nothing is random in an eval block, so there is no random state to bring back.
        module._gradient_checkpointing_func = partial(  # type: ignore[assignment]
            checkpoint, use_reentrant=False, preserve_rng_state=False
        )
    for module in (*blocks, *packable):
        module.training = True
    try:
        yield
    finally:
        for module in blocks:
            module.gradient_checkpointing = False
        for module, training in zip((*blocks, *packable), before, strict=True):
            module.training = training


def _is_packable(module: nn.Module) -> bool:
    return isinstance(getattr(module, "weight", None), Tensor) and is_quantized(module)
