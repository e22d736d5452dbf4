"""What the processor can do by itself."""

import torch
from torch import Tensor


def emulates(values: Tensor) -> bool:
    """Whether products of ``values`` are put together from other operations: those of bf16 on a
    processor that has none, many times slower than float32's."""
    if values.dtype is not torch.bfloat16 or values.device.type != "cpu":
        return False
    return not torch.ops.mkldnn._is_mkldnn_bf16_supported()
