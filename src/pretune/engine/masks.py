"""Attention masks for token layouts that are not plain left-to-right rows."""

from typing import Any

from torch import Tensor

from pretune.bases import Base


def attention_masks(base: Base, allowed: Tensor, positions: Tensor) -> Any:
    """What to give a base as ``attention_mask``.

    Args:
        allowed: ``(B, T, T)`` bool: query (second axis) may see key (third).
        positions: ``(B, T)`` positions, for families that see a sliding window only.

    Returns:
        ``(B, 1, T, T)`` bool, or a dict of such by layer type for families that mix types.
    """
    config = base.model.config.get_text_config(decoder=True)
    window = getattr(config, "sliding_window", None)
    full = allowed[:, None]
    if window is None:
        return full
    distance = positions[:, :, None] - positions[:, None, :]
    sliding = (allowed & (distance < window))[:, None]
    types = set(getattr(config, "layer_types", None) or ["sliding_attention"])
    if types == {"full_attention"}:
        return full
    if types == {"sliding_attention"} and config.model_type not in _BY_TYPE:
        return sliding
    return {"full_attention": full, "sliding_attention": sliding}


_BY_TYPE = frozenset({"gemma2", "gemma3_text", "qwen2", "qwen3"})
"""Families whose model code takes masks by layer type whatever the types are."""
