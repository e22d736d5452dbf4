"""A base without numbers: its real shapes on the device ``meta``, for reckoning what work costs."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from pretune.bases.anatomy import dissect
from pretune.bases.base import Base
from pretune.bases.load import PRECISIONS, load_config, load_renderer
from pretune.bases.quantized import FourBit
from pretune.core.errors import BaseModelError
from pretune.core.names import unknown


def blank_base(
    name: str = "embedded",
    precision: str = "fp32",
    *,
    allow_download: bool = False,
    revision: str | None = None,
) -> Base:
    """The base that :func:`pretune.bases.load_base` would load, without reading its weights.

    Raises:
        BaseModelError: not found, or not decoder-only.
    """
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    config = load_config(name, allow_download=allow_download, revision=revision)
    renderer = load_renderer(name, allow_download=allow_download, revision=revision)
    model = blank_model(config, precision)
    return Base(name, "no weights", precision, model, renderer, dissect(model))


def with_layers(base: Base, layers: int) -> Base:
    """The same ``base`` with another number of blocks, without numbers too."""
    config = base.model.config.__class__.from_dict(base.model.config.to_dict())
    text = config.get_text_config(decoder=True)
    text.num_hidden_layers = layers
    if getattr(text, "layer_types", None):
        text.layer_types = [text.layer_types[i % len(text.layer_types)] for i in range(layers)]
    config._attn_implementation = base.model.config._attn_implementation
    model = blank_model(config, base.precision)
    return replace(base, model=model, anatomy=dissect(model))


def blank_model(config: Any, precision: str) -> Any:
    """A frozen model of ``config`` on ``meta``."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config, dtype=PRECISIONS[precision])
    if precision == "nf4":
        _quantize(model)
    return model.requires_grad_(False).eval()


def _quantize(model: Any) -> None:
    """Put stand-ins where bitsandbytes would put its layers: all linear ones but the head."""
    head = model.get_output_embeddings()
    replaced = 0
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear and child is not head:
                setattr(module, name, FourBit(child))
                replaced += 1
    if not replaced:
        raise BaseModelError(
            f'base of type "{model.config.model_type}" has no layers that "nf4" can pack; '
            'use precision "bf16"'
        )
