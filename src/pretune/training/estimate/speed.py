"""How fast this machine is, by two short trials: a product, and a copy."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

_TRIALS = 15
_SIDE = 1024
_COPIED = 2**26
"""Bytes of the copy; more than a processor's cache holds."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Operations a second of products in the training's precision, and bytes a second copied."""

    flops: float
    bytes: float


def speed_of(device: torch.device, *, bf16: bool) -> Speed:
    """Both, on ``device``: the best of some short trials. Takes about a third of a second."""
    dtype = torch.bfloat16 if bf16 else torch.float32
    left = torch.ones(_SIDE, _SIDE, dtype=dtype, device=device)
    source = torch.zeros(_COPIED // 4, device=device)
    target = torch.empty_like(source)
    product = _best(lambda: left @ left, device)
    copy = _best(lambda: target.copy_(source), device)
    return Speed(2 * _SIDE**3 / product, _COPIED / copy)


def _best(run: Callable[[], object], device: torch.device) -> float:
    seconds = []
    for _ in range(_TRIALS + 1):
        began = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])
