"""The engine on a CUDA device: what decode, prefill and a peer cost there, then its tests.

    PYTHONPATH=src python benchmarks/cuda_check.py --out runs/cuda

One JSON object and a table at the end; whatever fails is told with its reason, its traceback stands
in the log under ``--out``, and all other parts go on. Needs about 100 seconds on one H100.
``--device cpu --quick`` runs the same parts on a small base without tests or graphs, to see that
they run.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn import Linear

from pretune.bases import Base
from pretune.bench.machine import describe
from pretune.bench.measures import tasks
from pretune.bench.race import Lane, Times, race
from pretune.bench.stand import WARM_PROMPT, Stand
from pretune.bench.work import FULL, QUICK
from pretune.engine.engine import Engine

ROOT = Path(__file__).resolve().parents[1]
REPEATS = 5
PEFT_STEPS = 6

Part = Callable[[], Mapping[str, Any]]


class Check:
    """Runs parts one after the other, each guarded."""

    def __init__(self, out: Path) -> None:
        self.found: dict[str, Any] = {}
        self._out = out

    def run(self, name: str, part: Part) -> None:
        """Keep what ``part`` finds under its ``name``, or why it found nothing."""
        began = time.perf_counter()
        try:
            found = dict(part())
        except Exception as error:  # whatever it is, the other parts are to run
            found = {"failed": f"{type(error).__name__}: {error}"[:400]}
            self.log(f"== {name}\n{traceback.format_exc()}")
        self.found[name] = found | {"seconds": round(time.perf_counter() - began, 1)}
        (self._out / "cuda.json").write_text(json.dumps(self.found, indent=1) + "\n")
        print(name, json.dumps(self.found[name]), flush=True)

    def log(self, text: str) -> None:
        """Add to the log."""
        with (self._out / "log.txt").open("a", encoding="utf-8") as file:
            file.write(text + "\n")


def tests(out: Path, most: float) -> dict[str, Any]:
    """The tests that need the device, on several processes where pytest can do that."""
    command = [sys.executable, "-m", "pytest", "tests/cuda", "-q", "--tb=short"]
    command += ["-o", "filterwarnings=ignore", "-p", "no:cacheprovider", "--durations=5"]
    if subprocess.run([sys.executable, "-c", "import xdist"], capture_output=True).returncode == 0:
        command += ["-n", "6"]
    with (out / "tests.txt").open("w") as file:
        try:
            subprocess.run(command, cwd=ROOT, stdout=file, stderr=file, timeout=most)
        except subprocess.TimeoutExpired:
            file.write("\nstopped: out of time\n")
    text = (out / "tests.txt").read_text(errors="replace")
    lines = text.strip().splitlines()
    wrong = [line[:200] for line in lines if line.startswith(("FAILED", "ERROR"))]
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|skipped|error)", text)}
    return {**counts, "wrong": wrong[:12], "last": lines[-1][:200] if lines else ""}


def roofline(base: Base, step_ms: float | None) -> dict[str, Any]:
    """Bandwidth by a large copy, and the milliseconds that one reading of the weights takes."""
    device = base.device
    source = torch.empty(2**30, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copies = [_timed(device, lambda: target.copy_(source)) for _ in range(8)]
    bandwidth = 2 * source.nbytes / min(copies)
    weights = sum(p.nbytes for p in base.model.parameters())
    floor = weights / bandwidth
    return {
        "copy_gb_s": round(bandwidth / 1e9),
        "weights_mb": round(weights / 1e6),
        "weights_ms": round(1e3 * floor, 3),
        "step_over_weights": step_ms and round(step_ms / (1e3 * floor), 2),
    }


def _timed(device: torch.device, run: Callable[[], object]) -> float:
    _wait(device)
    began = time.perf_counter()
    run()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def figures(stand: Stand) -> dict[str, Any]:
    """What ``pretune bench --only tasks`` tells, on this device."""
    found = tasks.measure(stand, lambda _: None)
    told: dict[str, Any] = {f.name: [f.value, f.low, f.high] for f in found}
    for figure in found:
        told |= dict(figure.details)
    return told


def _lane(stand: Stand, engine: Engine, names: list[str | None], new: int, seed: int) -> Lane:
    prompt = stand.work.prompt if new > 2 else WARM_PROMPT
    return Lane(engine, stand.requests(names, new, seed, prompt))


def graphs(stand: Stand) -> dict[str, Any]:
    """Steps by graph and without, turn by turn; and a replay alone, without the host's part."""
    nobody: list[str | None] = [None] * stand.work.requests
    with stand.engine(stand.base) as one, stand.engine(stand.twin) as two:
        two._runner.graphs = None
        for new, seed in ((2, 1), (33, 2)):
            lanes = {
                "graph": _lane(stand, one, nobody, new, seed),
                "eager": _lane(stand, two, nobody, new, seed),
            }
            times, _ = race(lanes)
        captured = one._runner.graphs
        alone = None
        if captured is not None and len(captured):
            size = max(captured._buckets)
            replay = captured._buckets[size].replay
            alone = statistics.median(_timed(stand.base.device, replay) for _ in range(20))
        stats = one.stats()
    return {
        "graph_ms": _ms(times["graph"]),
        "eager_ms": _ms(times["eager"]),
        "replay_alone_ms": alone and round(1e3 * alone, 3),
        "graphs": stats.graphs,
        "reason": stats.eager,
    }


def _ms(times: Times) -> float:
    return round(1e3 * times.step, 3)


def unequal(stand: Stand) -> dict[str, Any]:
    """Prefill of prompts of 96 to 160 tokens: base, and each its own task."""
    count, found = stand.work.requests, []
    names = stand.names(count)
    lengths = [96 + (37 * i) % 65 for i in range(count)]
    with (
        stand.engine(stand.base, tokens=400) as plain,
        stand.engine(stand.twin, tokens=400, slots=count) as tuned,
    ):
        for repeat in range(3):
            seconds = {}
            for side, engine, own in (("base", plain, [None] * count), ("tasks", tuned, names)):
                requests = [
                    replace(stand.requests([name], 2, 50 + repeat, length)[0], id=str(i))
                    for i, (name, length) in enumerate(zip(own, lengths, strict=True))
                ]
                times, _ = race({side: Lane(engine, requests)})
                seconds[side] = times[side].prefill
            found.append(seconds)
    last = found[-1]
    return {
        "base_ms": round(1e3 * last["base"], 2),
        "tasks_ms": round(1e3 * last["tasks"], 2),
        "ratio": round(last["tasks"] / last["base"], 3),
    }


def profile(stand: Stand, check: Check) -> dict[str, Any]:
    """Where the time of decode and of prefill goes, in kernels; the tables go to the log."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    device, told = stand.base.device, {}
    kinds = [ProfilerActivity.CPU]
    by, where = "self_cpu_time_total", "CPU"
    if device.type == "cuda":
        kinds.append(ProfilerActivity.CUDA)
        by, where = "self_device_time_total", "CUDA"
    count = stand.work.requests
    with stand.engine(stand.twin, slots=count) as engine:
        race({"warm": _lane(stand, engine, stand.names(count), 2, 1)})
        for request in stand.requests(stand.names(count), 12, 3):
            engine.submit(request)
        for name, steps in (("prefill", 1), ("decode", 8)):
            _wait(device)
            began = time.perf_counter()
            with profiled(activities=kinds) as profiler:
                for _ in range(steps):
                    engine.step()
                _wait(device)
            wall = time.perf_counter() - began
            events = profiler.key_averages()
            own = [e for e in events if e.device_type.name == where]
            busy = sum(getattr(e, by) for e in own) / 1e3 / steps
            launched = sum(e.count for e in events if "LaunchKernel" in e.key) / steps
            told[name] = {
                "busy_ms": round(busy, 3),
                "wall_ms_profiled": round(1e3 * wall / steps, 3),
                "launches": round(launched),
            }
            check.log(f"== profile of {name}\n{events.table(sort_by=by, row_limit=30)}")
    return told


def against_peft(stand: Stand, ours: Mapping[str, Any]) -> dict[str, Any]:
    """PEFT's mixed batch on the same base's shape: ``generate`` with ``adapter_names``."""
    from peft import LoraConfig, get_peft_model

    work, device = stand.work, stand.base.device
    config = LoraConfig(r=work.rank, target_modules="all-linear", init_lora_weights=False)
    model = stand.twin.model
    tuned = get_peft_model(model, config, adapter_name="0")
    for number in range(1, work.requests):
        tuned.add_adapter(str(number), config)
    tuned = tuned.to(device, torch.bfloat16).eval()
    ids = torch.tensor([stand.ids(work.prompt, 9, i) for i in range(work.requests)], device=device)
    options = {
        "attention_mask": torch.ones_like(ids),
        "adapter_names": [str(i) for i in range(work.requests)],
        "do_sample": False,
        "pad_token_id": 0,
    }

    def generate(new: int) -> float:
        def run() -> None:
            with torch.inference_mode():
                tuned.generate(input_ids=ids, max_new_tokens=new, min_new_tokens=new, **options)

        return _timed(device, run)

    generate(2)
    prefill, more = generate(1), generate(1 + PEFT_STEPS)
    step = (more - prefill) / PEFT_STEPS
    theirs = work.requests * work.new / (prefill + (work.new - 1) * step)
    own = (ours.get("tokens_per_s") or {}).get("tasks")
    replaced = sum(not isinstance(m, Linear) and hasattr(m, "lora_A") for m in model.modules())
    return {
        "peft_prefill_ms": round(1e3 * prefill, 1),
        "peft_step_ms": round(1e3 * step, 1),
        "peft_tokens_per_s": round(theirs, 1),
        "ours_tokens_per_s": own,
        "speedup_vs_peft_32": own and round(own / theirs, 2),
        "layers": replaced,
    }


def shown(found: Mapping[str, Any]) -> str:
    """A table for people."""
    told = found.get("figures", {})
    rows = [
        (name, told.get(name))
        for name in (
            "decode_ratio_32_tasks",
            "prefill_ratio_32_tasks",
            "step_vs_floor",
            "adapter_bytes_in_decode",
            "base_ms",
            "tasks_ms",
            "floor_ms",
            "base_s",
            "tasks_s",
            "tokens_per_s",
        )
    ]
    for part in ("tests", "roofline", "graphs", "unequal", "profile", "peft"):
        rows += [(f"{part}: {key}", value) for key, value in found.get(part, {}).items()]
    return "\n".join(f"{name:34} {value}" for name, value in rows)


def main() -> None:
    """Run all parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "runs/cuda")))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="a small base")
    parser.add_argument("--no-tests", action="store_true")
    parser.add_argument("--tests-seconds", type=float, default=75.0)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    check = Check(asked.out)
    check.found["machine"] = describe()
    print(json.dumps(check.found["machine"]), flush=True)
    began = time.perf_counter()
    stand = Stand(replace(QUICK if asked.quick else FULL, repeats=REPEATS), asked.device)
    print(f"base made in {time.perf_counter() - began:.1f} s", flush=True)
    check.run("figures", lambda: figures(stand))
    told = check.found["figures"]
    check.run("roofline", lambda: roofline(stand.base, told.get("tasks_ms")))
    check.run("graphs", lambda: graphs(stand))
    check.run("unequal", lambda: unequal(stand))
    check.run("profile", lambda: profile(stand, check))
    check.run("peft", lambda: against_peft(stand, told))  # after all others: it changes the twin
    if asked.device == "cuda" and not asked.no_tests:
        check.run("tests", lambda: tests(asked.out, asked.tests_seconds))
    print(json.dumps(check.found))
    print(shown(check.found))


if __name__ == "__main__":
    main()
