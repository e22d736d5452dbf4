"""Weights in the layout that oneDNN's products read fastest, on a CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor

_USUAL_ROWS = 32
"""Rows for which the layout is chosen; any other number is right as well, and measured as fast."""

MOST_ROWS = 64
"""Rows up to which packed products are worth their while: twice as fast there, a tenth beyond."""


def packable(weight: Tensor) -> bool:
    """Whether there is such a layout for ``weight``."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if weight.dtype is torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype is torch.float32


def pack(weight: Tensor) -> Tensor:
    """A copy of ``weight (out, in)``, opaque to all but :func:`packed_linear`."""
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, _USUAL_ROWS)
    return packed


def packed_linear(x: Tensor, packed: Tensor, bias: Tensor | None = None) -> Tensor:
    """``F.linear`` of ``x (N, in)`` with a weight that :func:`pack` has copied.

    For every number of rows oneDNN makes and keeps a program of its own, about a megabyte each;
    so rows are filled up to one of eleven numbers.
    """
    rows = len(x)
    full = 1 << (rows - 1).bit_length() if rows <= 8 else -(-rows // 8) * 8
    x = F.pad(x, (0, 0, 0, full - rows)) if full > rows else x.contiguous()
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    return y[:rows]
