"""What the processor can do by itself."""

from functools import cache

import torch
from torch import Tensor

_WITH_BF16 = ("avx512_bf16", "amx_bf16")


@cache
def multiplies_bf16() -> bool:
    """Whether the processor has instructions for products of bf16.

    Where it has none they are put together from others, slower than float32's. oneDNN says yes to
    every AVX-512 and emulates them on the older ones (its release notes of 0.20; OpenVINO's of
    2021.4 find that far slower than float32), so on x86 the instructions are asked for by name.
    """
    features = torch.cpu.get_capabilities()
    if features.get("architecture") == "x86_64":
        return any(bool(features.get(name)) for name in _WITH_BF16)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def emulates(values: Tensor) -> bool:
    """Whether products of ``values`` are those of bf16 on a processor that has none."""
    if values.dtype is not torch.bfloat16 or values.device.type != "cpu":
        return False
    return not multiplies_bf16()


def multiplied_in(values: Tensor) -> torch.dtype:
    """The type in which products of ``values`` are taken: their own, or float32 where these would
    be emulated."""
    return torch.float32 if emulates(values) else values.dtype
