"""The serving engine in the shape of Qwen2.5-0.5B: decode and prefill with and without tasks.

Random bf16 weights; every request has its own prompt; greedy, without an end token; LoRA of rank 8
on all linear layers. In one process, taking turns, medians over the repeats:

    python benchmarks/serve_engine.py [--requests 32 --prompt 128 --new 128 --repeats 3] [--json]

`floor` is the bare products of one decode step (all linear layers and the head), nothing else, in
the better of two forms.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from pretune.adapters.adapter import Adapter
from pretune.adapters.registry import build_method
from pretune.bases import Base
from pretune.bases.anatomy import dissect
from pretune.bases.fakes import tiny_base
from pretune.core.records import Request
from pretune.core.scope import Scope
from pretune.core.segments import Role, TokenSegment
from pretune.engine.engine import Engine, Size
from pretune.spec.methods import LoraConfig

SHAPE = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151_936,
    "tie_word_embeddings": True,
    "max_position_embeddings": 4096,
}


def make_base() -> Base:
    """The model with random weights, and a renderer that nobody asks for text."""
    torch.manual_seed(0)
    config = AutoConfig.for_model("qwen2", **SHAPE)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model = model.eval().requires_grad_(False)
    return replace(tiny_base(), model=model, precision="bf16", anatomy=dissect(model))


def make_adapters(base: Base, count: int, scope: Scope) -> dict[str, Adapter]:
    """LoRA adapters whose weights do something."""
    config = LoraConfig(rank=8)
    method = build_method(config)
    adapters = {}
    for number in range(count):
        weights = method.initial(base, None, number)
        weights = {
            name: torch.randn_like(value) * 0.01 if name.endswith(".B") else value
            for name, value in weights.items()
        }
        adapters[f"{scope}-{number}"] = Adapter(
            config, scope, weights, base.digest, base.renderer.digest
        )
    return adapters


def run(engine: Engine, names: list[str | None], prompt: int, new: int, seed: int) -> dict:
    """Seconds of prefill, of the median step in which all decode, and of everything."""
    draw = torch.Generator().manual_seed(seed)
    for number, name in enumerate(names):
        ids = torch.randint(0, 50_000, (prompt,), generator=draw).tolist()
        segment = TokenSegment(Role.USER, tuple(ids))
        engine.submit(Request(f"{seed}:{number}", (segment,), name, new))
    began = time.perf_counter()
    first: float | None = None
    waiting, steps = len(names), []
    while engine.busy:
        start = time.perf_counter()
        outputs = engine.step()
        took = time.perf_counter() - start
        if first is None:
            waiting -= len(outputs)
            if waiting <= 0:
                first = time.perf_counter() - began
        elif len(outputs) == len(names):
            steps.append(took)
    whole = time.perf_counter() - began
    assert first is not None
    return {
        "prefill_s": first,
        "step_ms": 1000 * statistics.median(steps or [float("nan")]),  # none: adapters came late
        "tokens_per_s": len(names) * new / whole,
    }


def floor(base: Base, rows: int) -> Callable[[], float]:
    """Milliseconds of one step's bare products, in the better of two forms: layer by layer, and
    with the layers of one input as one."""
    linears = [site.module.weight for site in base.anatomy.linears]
    head = base.model.get_output_embeddings().weight
    single = [*linears, head]
    fused = [head]
    for layer in range(base.anatomy.layers):
        own = [site for site in base.anatomy.linears if site.layer == layer]
        for roles in (("q", "k", "v"), ("o",), ("gate", "up"), ("down",)):
            fused.append(torch.cat([site.module.weight for site in own if site.part in roles]))
    inputs = {width: torch.randn(rows, width).bfloat16() for width in {m.shape[1] for m in linears}}

    @torch.no_grad()
    def products(matrices: list[torch.Tensor]) -> float:
        start = time.perf_counter()
        for matrix in matrices:
            torch.nn.functional.linear(inputs[matrix.shape[1]], matrix)
        return 1000 * (time.perf_counter() - start)

    return lambda: min(products(single), products(fused))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=32)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--new", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    base = make_base()
    count = args.requests
    adapters = make_adapters(base, count, Scope.PROMPT) | make_adapters(base, count, Scope.ALL)
    # A slot for every adapter: what loading costs is another measurement.
    size = Size(blocks=1024, slots=2 * count, tokens=4096, sequences=count)
    engine = Engine(base, (), adapters.__getitem__, size)
    runs: dict[str, list[str | None]] = {
        "base": [None] * count,
        f"{count} tasks, prompt scope": [f"prompt-{i}" for i in range(count)],
        f"{count} tasks, all tokens": [f"all-{i}" for i in range(count)],
    }
    for names in runs.values():  # warm up, and put every adapter into memory once
        run(engine, names, args.prompt, 2, seed=-1)
    bare = floor(base, count)
    found: dict[str, list[dict]] = {name: [] for name in runs}
    floors: list[float] = []
    for repeat in range(args.repeats):
        floors += [bare() for _ in range(5)]
        for name, names in runs.items():
            found[name].append(run(engine, names, args.prompt, args.new, seed=repeat))
    table = {
        name: {key: statistics.median(one[key] for one in some) for key in some[0]}
        for name, some in found.items()
    }
    table["floor"] = {"step_ms": statistics.median(floors)}
    if args.json:
        print(json.dumps(table, indent=1))
        return
    print("| | prefill s | step ms | tokens/s |\n| --- | ---: | ---: | ---: |")
    for name, one in table.items():
        prefill, speed = one.get("prefill_s"), one.get("tokens_per_s")
        cells = [f"{value:.1f}" if value else "" for value in (prefill, one["step_ms"], speed)]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
