"""Decode and prefill of as many tasks as requests, against the untouched base, and the floor."""

import statistics
from collections.abc import Callable

import torch
from torch.nn.functional import linear

from pretune.bases import Base
from pretune.bench.figures import Figure, milliseconds
from pretune.bench.measures.measure import Tell
from pretune.bench.race import Lane, Times, paired, race
from pretune.bench.stand import Stand


def measure(stand: Stand, tell: Tell) -> list[Figure]:
    """Four figures of one race: base, every request its own task, and the bare products."""
    work = stand.work
    names = stand.names(work.requests)
    rounds: list[tuple[dict[str, Times], list[float]]] = []
    for repeat in range(work.repeats):
        plain, tuned = stand.placed(repeat)
        with stand.engine(plain) as base, stand.engine(tuned, slots=work.requests) as tasks:

            def lanes(new: int, seed: int, base=base, tasks=tasks) -> dict[str, Lane]:  # type: ignore[no-untyped-def]
                nobody: list[str | None] = [None] * work.requests
                return {
                    "base": Lane(base, stand.requests(nobody, new, seed)),
                    "tasks": Lane(tasks, stand.requests(names, new, seed)),
                }

            race(lanes(2, -1))  # every adapter in its slot, every kernel chosen
            rounds.append(race(lanes(work.new, repeat), bare_products(tuned, work.requests)))
        tell((repeat + 1) / work.repeats)
    return _figures(stand, rounds)


def _figures(stand: Stand, rounds: list[tuple[dict[str, Times], list[float]]]) -> list[Figure]:
    work = stand.work
    bases, tasks = ([times[side] for times, _ in rounds] for side in ("base", "tasks"))
    floors = [floor for _, floor in rounds]
    speed = {
        side: round(statistics.median(t.throughput(work.requests, work.new) for t in some), 1)
        for side, some in (("base", bases), ("tasks", tasks))
    }
    step = {
        "base_ms": milliseconds([s for t in bases for s in t.steps]),
        "tasks_ms": milliseconds([s for t in tasks for s in t.steps]),
        "floor_ms": milliseconds([s for floor in floors for s in floor]),
    }
    pairs = list(zip(tasks, bases, strict=True))
    return [
        Figure.of(
            "decode_ratio_32_tasks",
            [paired(t.steps, b.steps) for t, b in pairs],
            **step,
            tokens_per_s=speed,
        ),
        Figure.of(
            "prefill_ratio_32_tasks",
            [t.prefill / b.prefill for t, b in pairs],
            base_s=round(statistics.median(b.prefill for b in bases), 3),
            tasks_s=round(statistics.median(t.prefill for t in tasks), 3),
        ),
        Figure.of(
            "step_vs_floor",
            [paired(t.steps, floor) for t, floor in zip(tasks, floors, strict=True)],
            **step,
        ),
        Figure.of("adapter_bytes_in_decode", [float(t.held) for t in tasks]),
    ]


def bare_products(base: Base, rows: int) -> Callable[[], None]:
    """The products of one step and nothing else: every linear layer and the head on ``rows``."""
    modules = [site.module for site in base.anatomy.linears]
    weights = [module.weight for module in modules]
    weights.append(base.model.get_output_embeddings().weight)
    inputs = {
        weight.shape[1]: torch.randn(rows, weight.shape[1]).to(weight.dtype) for weight in weights
    }

    @torch.no_grad()
    def run() -> None:
        for weight in weights:
            linear(inputs[weight.shape[1]], weight)

    return run
