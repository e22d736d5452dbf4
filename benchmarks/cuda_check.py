"""The engine on a CUDA device: what serving costs there, against base and peers, then its tests.

    PYTHONPATH=src python benchmarks/cuda_check.py --out runs/cuda

All figures of ``pretune bench``, decode with graphs and without, prefill of unequal prompts, where
the time goes, and ``tests/cuda``. What is found lies in ``cuda.json`` under ``--out``; whatever
fails is told with its reason, its traceback stands in the log beside it, and all other parts go on.
``--device cpu --quick`` runs the same parts on a small base without tests or graphs, to see that
they run.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pretune.bench.clock import timed
from pretune.bench.machine import describe
from pretune.bench.measures import measures
from pretune.bench.race import Lane, Times, race
from pretune.bench.run import run
from pretune.bench.stand import WARM_PROMPT, Stand
from pretune.bench.work import FULL, QUICK, Work
from pretune.engine.engine import Engine

ROOT = Path(__file__).resolve().parents[1]
REPEATS = 3

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


def figures(work: Work, device: str) -> dict[str, Any]:
    """What ``pretune bench`` tells on this device."""

    def watch(name: str, share: float) -> None:
        if share == 1.0:
            print(f"{name} measured", flush=True)

    return run(work, measures(), watch, device).record()


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
            alone = statistics.median(timed(stand.base.device, replay) for _ in range(20))
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


def _steps(engine: Engine, count: int) -> None:
    for _ in range(count):
        engine.step()


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
            with profiled(activities=kinds) as profiler:
                wall = timed(device, partial(_steps, engine, steps))
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


def main() -> None:
    """Run all parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/cuda"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="a small base")
    parser.add_argument("--no-tests", action="store_true")
    parser.add_argument("--tests-seconds", type=float, default=75.0)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    check = Check(asked.out)
    check.found["machine"] = describe()
    print(json.dumps(check.found["machine"]), flush=True)
    work = replace(QUICK if asked.quick else FULL, repeats=REPEATS)
    check.run("figures", lambda: figures(work, asked.device))
    stand = Stand(work, asked.device)
    check.run("graphs", lambda: graphs(stand))
    check.run("unequal", lambda: unequal(stand))
    check.run("profile", lambda: profile(stand, check))
    if asked.device == "cuda" and not asked.no_tests:
        check.run("tests", lambda: tests(asked.out, asked.tests_seconds))


if __name__ == "__main__":
    main()
