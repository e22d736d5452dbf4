"""Decode and prefill of as many tasks as requests, against the untouched base, and the floor."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import linear

from pretune.bases import Base
from pretune.bases.anatomy import Part
from pretune.bench.figures import Figure, milliseconds
from pretune.bench.measures.measure import Tell
from pretune.bench.race import Lane, Times, paired, race
from pretune.bench.stand import WARM_PROMPT, Stand
from pretune.engine.engine import Engine
from pretune.engine.graphs import CudaCapture
from pretune.engine.packed import Packed, packable

_Round = tuple[Mapping[str, Times], Mapping[str, list[float]]]

_FUSED = {"qkv": (Part.QUERY, Part.KEY, Part.VALUE), "gate_up": (Part.GATE, Part.UP)}
"""Layers with the same input, which can be one product."""

_LONG = 4
"""Times as many steps as other measures have: one percent is to be told here."""


def measure(stand: Stand, tell: Tell) -> list[Figure]:
    """Four figures of one race: base, every request its own task, and the bare products."""
    work = stand.work
    rounds: list[_Round] = []
    for repeat in range(work.repeats):
        plain, tuned = stand.placed(repeat)
        with stand.engine(plain) as base, stand.engine(tuned, slots=work.requests) as tasks:
            race(_lanes(stand, base, tasks, 2, -1, WARM_PROMPT))
            floors = _floors(tuned, work.requests)
            lanes = _lanes(stand, base, tasks, _LONG * work.steps + 1, repeat, work.prompt)
            rounds.append(race(lanes, floors))
        tell((repeat + 1) / work.repeats)
    return _figures(stand, rounds)


def _lanes(
    stand: Stand, base: Engine, tasks: Engine, new: int, seed: int, prompt: int
) -> dict[str, Lane]:
    count = stand.work.requests
    return {
        "base": Lane(base, stand.requests([None] * count, new, seed, prompt)),
        "tasks": Lane(tasks, stand.requests(stand.names(count), new, seed, prompt)),
    }


def _figures(stand: Stand, rounds: list[_Round]) -> list[Figure]:
    work = stand.work
    bases, tasks = ([times[side] for times, _ in rounds] for side in ("base", "tasks"))
    # The better of PyTorch's two forms, each turn.
    floors = [
        [min(pair) for pair in zip(floor["plain"], floor["fused"], strict=True)]
        for _, floor in rounds
    ]
    speed = {
        side: round(statistics.median(t.throughput(work.requests, work.new) for t in some), 1)
        for side, some in (("base", bases), ("tasks", tasks))
    }
    step = {
        "base_ms": milliseconds([s for t in bases for s in t.steps]),
        "tasks_ms": milliseconds([s for t in tasks for s in t.steps]),
        "floor_ms": milliseconds([s for floor in floors for s in floor]),
        **{
            f"floor_{form}_ms": milliseconds([s for _, floor in rounds for s in floor[form]])
            for form in rounds[0][1]
        },
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
        *_packed(rounds),
        Figure.of("adapter_bytes_in_decode", [float(t.held) for t in tasks]),
    ]


def _packed(rounds: list[_Round]) -> list[Figure]:
    """The step over its products as fast as they are known to go, where packing makes them so."""
    if any("packed" not in floor for _, floor in rounds):
        return []
    steps = [(times["tasks"].steps, floor["packed"]) for times, floor in rounds]
    return [
        Figure.of(
            "step_vs_packed_floor",
            [paired(step, floor) for step, floor in steps],
            tasks_ms=milliseconds([s for step, _ in steps for s in step]),
            floor_ms=milliseconds([s for _, floor in steps for s in floor]),
        )
    ]


def _floors(base: Base, rows: int) -> dict[str, Callable[[], object]]:
    """The products of one step and nothing else: of every linear layer as the model has it, with
    those of one input as one, and these packed. On CUDA as one graph, as our step is."""
    groups: dict[tuple[int, str], list[Tensor]] = {}
    for site in base.anatomy.linears:
        name = next((group for group in _FUSED if site.part in _FUSED[group]), site.part)
        groups.setdefault((site.layer, name), []).append(site.module.weight)  # type: ignore[arg-type]
    head = base.model.get_output_embeddings().weight
    plain = [weight for group in groups.values() for weight in group]
    fused = [torch.cat(group) if len(group) > 1 else group[0] for group in groups.values()]
    floors = {
        "plain": _products([*plain, head], rows),
        "fused": _products([*fused, head], rows),
    }
    if packable(head):
        floors["packed"] = _products([*fused, head], rows, packed=True)
    return floors


def _products(
    weights: Sequence[Tensor], rows: int, *, packed: bool = False
) -> Callable[[], object]:
    device = weights[0].device
    inputs = {
        weight.shape[1]: torch.randn(rows, weight.shape[1]).to(device, weight.dtype)
        for weight in weights
    }

    terms: list[tuple[Tensor, Callable[[Tensor], Tensor]]] = [
        (inputs[weight.shape[1]], Packed.of(weight) if packed else partial(linear, weight=weight))
        for weight in weights
    ]

    @torch.no_grad()
    def run() -> Tensor:
        return [product(x) for x, product in terms][-1]

    if device.type != "cuda":
        return run
    replay = CudaCapture(device)(run)

    def waited() -> None:
        replay()
        torch.cuda.synchronize(device)

    return waited
