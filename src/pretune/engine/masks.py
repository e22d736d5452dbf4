"""Attention masks for token layouts that are not plain left-to-right rows."""

from typing import Any

import torch
from torch import Tensor

from pretune.bases import Base


def attention_masks(base: Base, allowed: Tensor, positions: Tensor) -> Any:
    """What to give a base as ``attention_mask``.

    Args:
        allowed: ``(B, T, T)`` bool: query (second axis) may see key (third).
        positions: ``(B, T)`` positions, for families that see a sliding window only.

    Returns:
        ``(B, 1, T, T)``, or a dict of such by layer type for families that mix types: bool, or
        what is added to the scores where a family's attention takes no bool (Gemma 2).
    """
    config = base.model.config.get_text_config(decoder=True)
    masks = _bool_masks(config, allowed, positions)
    if base.model.config._attn_implementation != "eager":
        return masks
    dtype: torch.dtype = base.model.dtype
    if isinstance(masks, dict):
        return {kind: additive(mask, dtype) for kind, mask in masks.items()}
    return additive(masks, dtype)


def additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Zero where ``mask`` is true, the lowest number of ``dtype`` elsewhere."""
    lowest = torch.finfo(dtype).min
    return torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, lowest)


def _bool_masks(config: Any, allowed: Tensor, positions: Tensor) -> Tensor | dict[str, Tensor]:
    window = getattr(config, "sliding_window", None)
    full = allowed[:, None]
    if window is None:
        return full
    distance = positions[:, :, None] - positions[:, None, :]
    sliding: Tensor = (allowed & (distance < window))[:, None]
    types = set(getattr(config, "layer_types", None) or ["sliding_attention"])
    if types == {"full_attention"}:
        return full
    if types == {"sliding_attention"} and config.model_type not in _BY_TYPE:
        return sliding
    return {"full_attention": full, "sliding_attention": sliding}


_BY_TYPE = frozenset({"gemma2", "gemma3_text", "qwen2", "qwen3"})
"""Families whose model code takes masks by layer type whatever the types are."""
