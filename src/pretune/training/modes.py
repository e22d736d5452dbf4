"""The base while it is trained on: deterministic, and if asked with recomputed activations."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers.modeling_layers import GradientCheckpointingLayer

from pretune.adapters.matrices import is_quantized
from pretune.bases import Base


@contextmanager
def trainable(base: Base, *, gradient_checkpointing: bool) -> Iterator[None]:
    """Ready ``base`` for backward passes in this block, and for measuring in between.

    The model stays in ``eval``: a frozen base must not drop out at random, and what is measured
    must be what is trained. Two kinds of layer are told that they train, as only then

    - a block recomputes its activations (its submodules, with their dropout, stay in ``eval``);
    - a 4-bit layer keeps the layout that has gradients: on CPUs with AVX512-BF16 it would repack
      its weights for inference, and later backward passes would lose their gradient in silence.
    """
    kinds = [m for m in base.model.modules() if _is_told(m, gradient_checkpointing)]
    before = [module.training for module in kinds]
    for module in kinds:
        if is_packable(module):
            module.state_dict()  # bitsandbytes brings back the layout of training for this
        module.training = True
    if gradient_checkpointing:
        base.model.gradient_checkpointing_enable(
            gradient_checkpointing_kwargs={"use_reentrant": False}
        )
    try:
        yield
    finally:
        if gradient_checkpointing:
            base.model.gradient_checkpointing_disable()
        for module, training in zip(kinds, before, strict=True):
            module.training = training


def is_packable(module: torch.nn.Module) -> bool:
    """Whether the layer is a 4-bit one."""
    return isinstance(getattr(module, "weight", None), torch.Tensor) and is_quantized(module)


def _is_told(module: torch.nn.Module, gradient_checkpointing: bool) -> bool:
    if isinstance(module, GradientCheckpointingLayer):
        return gradient_checkpointing
    return is_packable(module)
