"""How fast this machine is, by two short trials: a product, and a copy."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

_TRIALS = 15
_SIDE = 1024
_COPIED = 2**26
"""Bytes of the copy; more than a processor's cache holds."""
_LONG = 0.25
"""Seconds of one product that are too long for a trial."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Operations a second of products in the training's precision, and bytes a second copied."""

    flops: float
    bytes: float


def speed_of(device: torch.device, *, bf16: bool) -> Speed:
    """Both, on ``device``: the best of some short trials. Takes about a second."""
    source = torch.zeros(_COPIED // 4, device=device)
    target = torch.empty_like(source)
    copy = _best(lambda: target.copy_(source), device)
    return Speed(_flops(torch.bfloat16 if bf16 else torch.float32, device), _COPIED / copy)


def _flops(dtype: torch.dtype, device: torch.device) -> float:
    """Of a large product, or of a small one where a large one would take too long: a processor
    without products of bf16 takes seconds for what others do in milliseconds."""
    for side in (_SIDE // 4, _SIDE):
        left = torch.ones(side, side, dtype=dtype, device=device)
        flops = 2 * side**3 / _best(partial(torch.matmul, left, left), device)
        if 2 * _SIDE**3 / flops > _LONG:
            break
    return flops


def _best(run: Callable[[], object], device: torch.device) -> float:
    seconds = []
    for _ in range(_TRIALS + 1):
        began = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])
