"""Seconds of work on a device that answers before it is done."""

import time
from collections.abc import Callable

import torch


def timed(device: torch.device, run: Callable[[], object]) -> float:
    """Seconds that ``run`` takes on an idle ``device``, until all that it asked for is there."""
    _wait(device)
    began = time.perf_counter()
    run()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
