"""What the adapters' own products cost in prefill: one by one, and batched as in the engine.

    python benchmarks/prefill_products.py

32 adapters of rank 8 on all linear layers of one block of Qwen2.5-0.5B's shape, bf16, 128 tokens
each; milliseconds a block, medians of five, with the base's own products beside them. Nothing else
is in it: no hooks, no routing.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch.nn.functional import linear

ADAPTERS, TOKENS, RANK = 32, 128, 8
SITES = {"q": (896, 896), "k": (896, 128), "v": (896, 128), "o": (896, 896),
         "gate": (896, 4864), "up": (896, 4864), "down": (4864, 896)}  # fmt: skip
"""Width in and out of each linear layer."""

REPEATS = 5


def milliseconds(run: Callable[[], object]) -> float:
    """The median of some runs after one."""
    taken = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return 1000 * statistics.median(taken[1:])


@torch.no_grad()
def measured(width_in: int, width_out: int) -> dict[str, float]:
    """One layer: the base, adapters one by one, adapters in two batched products."""

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape).to(torch.bfloat16)

    x, y = noise(ADAPTERS * TOKENS, width_in), noise(ADAPTERS * TOKENS, width_out)
    weight = noise(width_out, width_in)
    down, up = noise(ADAPTERS, RANK, width_in), noise(ADAPTERS, width_out, RANK)
    downs, ups = down.transpose(1, 2), up.transpose(1, 2).contiguous()

    def one_by_one() -> None:
        for i in range(ADAPTERS):
            rows = slice(i * TOKENS, (i + 1) * TOKENS)
            y[rows].addmm_(x[rows] @ down[i].t() * 2.0, up[i].t())

    def batched() -> None:
        h = torch.bmm(x.view(ADAPTERS, TOKENS, -1), downs)
        y.view(ADAPTERS, TOKENS, -1).baddbmm_(h, ups)

    ways = {"base": lambda: linear(x, weight), "one by one": one_by_one, "batched": batched}
    return {name: milliseconds(run) for name, run in ways.items()}


def main() -> None:
    """A line for each layer, and the block's."""
    total = {"base": 0.0, "one by one": 0.0, "batched": 0.0}
    for name, (width_in, width_out) in SITES.items():
        found = measured(width_in, width_out)
        total = {way: total[way] + found[way] for way in total}
        print(name, {way: round(value, 2) for way, value in found.items()}, flush=True)
    print("block", {way: round(value, 1) for way, value in total.items()})


if __name__ == "__main__":
    main()
