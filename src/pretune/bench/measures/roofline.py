"""How far the base's own steps are from what the hardware can do: its bandwidth and arithmetic.

The roofline (Williams, Waterman and Patterson, CACM 52(4), 2009) of a decode step is one reading of
the weights and of the cached keys and values; that of prefill, its products. Both rates are
measured here: bytes of a large copy, operations of a large product in the base's own type.
"""

import statistics
from collections.abc import Callable

import torch

from pretune.bases import Base
from pretune.bench.clock import timed
from pretune.bench.figures import Figure
from pretune.bench.measures.measure import Tell
from pretune.bench.race import Lane, race
from pretune.bench.stand import WARM_PROMPT, Stand
from pretune.engine.packed import Packed, packable

_COPIED = {"cpu": 2**28, "cuda": 2**30}
"""Bytes, more than any cache holds."""

_SIDE = {"cpu": 2048, "cuda": 8192}
"""Rows and columns of the large product."""

_TRIALS = 8


def measure(stand: Stand, tell: Tell) -> list[Figure]:
    """The median step over the time that its bytes take, prefill over that of its operations."""
    work, base = stand.work, stand.base
    bandwidth, arithmetic = _bandwidth(base.device), _arithmetic(base)
    nobody: list[str | None] = [None] * work.requests
    steps, prefills = [], []
    with stand.engine(base) as engine:
        race({"base": Lane(engine, stand.requests(nobody, 2, -1, WARM_PROMPT))})
        for repeat in range(work.repeats):
            times, _ = race({"base": Lane(engine, stand.requests(nobody, work.steps + 1, repeat))})
            steps.append(times["base"].step)
            prefills.append(times["base"].prefill)
            tell((repeat + 1) / work.repeats)
    read = _weights(base) + work.requests * (work.prompt + work.steps // 2) * _cached(base)
    asked = work.requests * work.prompt * _operations(base)
    return [
        Figure.of(
            "step_vs_bandwidth",
            [step * bandwidth / read for step in steps],
            step_ms=round(1e3 * statistics.median(steps), 3),
            read_mb=round(read / 1e6),
            copy_gb_s=round(bandwidth / 1e9, 1),
        ),
        Figure.of(
            "prefill_vs_arithmetic",
            [prefill * arithmetic / asked for prefill in prefills],
            prefill_ms=round(1e3 * statistics.median(prefills), 2),
            gflop=round(asked / 1e9),
            product_gflop_s=round(arithmetic / 1e9),
        ),
    ]


def _bandwidth(device: torch.device) -> float:
    """Bytes a second, read and written, of a copy."""
    source = torch.zeros(_COPIED[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _fastest(device, lambda: target.copy_(source))


def _arithmetic(base: Base) -> float:
    """Operations a second of a product of two square matrices; two a multiplication. Of packed
    ones where the engine takes those for so many rows."""
    side, dtype = _SIDE[base.device.type], base.model.dtype
    left = torch.randn(side, side, device=base.device, dtype=dtype)
    packed = Packed.of(left) if packable(left) else None
    product = packed if packed is not None and packed.suits(side) else left.matmul
    return 2 * side**3 / _fastest(base.device, lambda: product(left))


def _fastest(device: torch.device, run: Callable[[], object]) -> float:
    """Seconds of the fastest of some runs."""
    return min(timed(device, run) for _ in range(_TRIALS))


def _weights(base: Base) -> int:
    """Bytes of all weights; tied ones once."""
    return sum(weight.nbytes for weight in base.model.parameters())


def _cached(base: Base) -> int:
    """Bytes of keys and values of one token."""
    anatomy = base.anatomy
    return int(2 * anatomy.layers * anatomy.kv_width * base.model.dtype.itemsize)


def _operations(base: Base) -> int:
    """Operations of one prompt token in the linear layers; the head and attention are left out."""
    return 2 * sum(site.width_in * site.width_out for site in base.anatomy.linears)
