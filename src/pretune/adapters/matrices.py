"""The matrix and bias of a linear layer, whatever way it keeps them."""

from typing import Any

import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from pretune.bases.quantized import FourBit, is_quantized
from pretune.core.errors import AdapterError


def matrix_of(module: Any) -> Tensor:
    """The layer's matrix ``(out, in)``; a 4-bit one is dequantised."""
    if is_quantized(module):
        from bitsandbytes.functional import dequantize_4bit

        matrix: Tensor = dequantize_4bit(module.weight.data, module.weight.quant_state)
        return matrix
    if isinstance(module, FourBit):
        return module.matrix()
    weight: Tensor = module.weight.detach()
    return weight.t() if isinstance(module, Conv1D) else weight


def bias_of(module: Any) -> Tensor | None:
    """The layer's bias ``(out,)``, if it has one."""
    bias: Tensor | None = getattr(module, "bias", None)
    return bias


def set_matrix(module: Any, matrix: Tensor) -> None:
    """Replace the layer's matrix ``(out, in)``, in its own dtype.

    Raises:
        AdapterError: the layer is quantised, so that the result would not be what was asked.
    """
    if is_quantized(module):
        raise AdapterError(
            "a 4-bit base cannot take a merge: rounding would change it; load the base with "
            'precision "fp32" or "bf16"'
        )
    with torch.no_grad():
        module.weight.copy_(matrix.t() if isinstance(module, Conv1D) else matrix)
