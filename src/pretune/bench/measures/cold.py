"""Many tasks on disk and few slots: what the tail of waiting costs against all in memory."""

import math
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from pretune.adapters.adapter import Adapter
from pretune.adapters.files import load_adapter, save_adapter
from pretune.bases import Base
from pretune.bench.figures import Figure
from pretune.bench.measures.measure import Tell
from pretune.bench.race import Lane, race
from pretune.bench.stand import Stand
from pretune.core.records import Request
from pretune.engine.engine import Engine


class Arrival(NamedTuple):
    """``at`` seconds from the start, somebody asks ``task``."""

    at: float
    task: int


def measure(stand: Stand, tell: Tell) -> list[Figure]:
    """P99 of the time to first token with 8 slots and files, over that with a slot for everyone."""
    traffic = stand.work.traffic
    ratios, tails = [], {"cold_p99_s": 0.0, "resident_p99_s": 0.0}
    loads = 0
    with tempfile.TemporaryDirectory(prefix="pretune-bench-") as folder:
        arrivals = draw_arrivals(stand, _rate(stand))
        tasks = sorted({one.task for one in arrivals})
        store = _Store(stand, Path(folder), tasks)
        with (
            _engine(stand, stand.base, traffic.slots, store.load) as cold,
            _engine(stand, stand.twin, len(tasks), store.load) as resident,
        ):
            # Each slot filled once, each kernel chosen; the cold side keeps the last few.
            for engine in (cold, resident):
                _fill(stand, engine, tasks)
            for repeat in range(2 if stand.work.repeats > 1 else 1):
                store.forget()
                before = cold.stats().adapter_loads
                first = _p99(_drive(stand, cold, arrivals, 2 * repeat))
                loads = cold.stats().adapter_loads - before
                tell(0.5 * (repeat + 0.5))
                second = _p99(_drive(stand, resident, arrivals, 2 * repeat + 1))
                tell(0.5 * (repeat + 1))
                ratios.append(first / second)
                tails = {"cold_p99_s": round(first, 3), "resident_p99_s": round(second, 3)}
    return [
        Figure.of(
            "cold_p99_ttft_ratio",
            ratios,
            **tails,
            requests=len(arrivals),
            tasks_asked=len(tasks),
            loads=loads,
            arrivals_per_s=round(len(arrivals) / arrivals[-1].at, 2),
        )
    ]


def draw_arrivals(stand: Stand, rate: float) -> list[Arrival]:
    """Poisson arrivals of ``rate`` a second; task ``k`` is asked in proportion to ``1 / k``."""
    traffic, chance = stand.work.traffic, random.Random(0)
    weights = [1 / (k + 1) for k in range(traffic.tasks)]
    asked = chance.choices(range(traffic.tasks), weights, k=traffic.requests)
    at, found = 0.0, []
    for task in asked:
        at += chance.expovariate(rate)
        found.append(Arrival(at, task))
    return found


def _rate(stand: Stand) -> float:
    """Arrivals a second that load the engine as the work says."""
    work = stand.work
    with stand.engine(stand.base) as engine:
        for seed, new in ((-1, 2), (-2, work.traffic.new)):
            times, _ = race({"base": Lane(engine, _nobody(stand, new, seed))})
    whole = times["base"].prefill + sum(times["base"].steps)
    return work.traffic.load * work.requests / whole


def _nobody(stand: Stand, new: int, seed: int) -> list[Request]:
    return stand.requests([None] * stand.work.requests, new, seed)


class _Store:
    """A file of its own for each task that is asked; more would lie there unread."""

    def __init__(self, stand: Stand, root: Path, tasks: Sequence[int]) -> None:
        self._folders: dict[str, Path] = {}
        for task in tasks:
            adapter = stand.load(f"prompt-{task}")
            own = Adapter(
                adapter.config,
                adapter.scope,
                # Another weight, so another file and another digest.
                {name: value + task * 1e-6 for name, value in adapter.weights.items()},
                adapter.base_digest,
                adapter.template_digest,
            )
            self._folders[f"task-{task}"] = save_adapter(own, root)

    def load(self, name: str) -> Adapter:
        """From disk, checked, as a server does."""
        return load_adapter(self._folders[name])

    def forget(self) -> None:
        """Ask the system to drop its copies in memory, so that the disk is read."""
        for folder in self._folders.values():
            for path in folder.iterdir():
                handle = os.open(path, os.O_RDONLY)
                try:
                    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(handle)


def _engine(
    stand: Stand, base: Base, slots: int, load: Callable[[str], Adapter]
) -> AbstractContextManager[Engine]:
    tokens = stand.work.prompt + stand.work.traffic.new
    return stand.engine(base, slots=slots, tokens=tokens, load=load)


def _fill(stand: Stand, engine: Engine, tasks: Sequence[int]) -> None:
    for start in range(0, len(tasks), stand.work.requests):
        names: list[str | None] = [
            f"task-{task}" for task in tasks[start : start + stand.work.requests]
        ]
        race({"fill": Lane(engine, stand.requests(names, 1, -3 - start, prompt=4))})


def _drive(stand: Stand, engine: Engine, arrivals: Sequence[Arrival], seed: int) -> list[float]:
    """Seconds from each arrival to its first token, in real time, whatever is under way."""
    names: list[str | None] = [f"task-{one.task}" for one in arrivals]
    requests = stand.requests(names, stand.work.traffic.new, 100 + seed)
    coming = list(zip(arrivals, requests, strict=True))
    due: dict[str, float] = {}
    waited: list[float] = []
    began = time.perf_counter()
    expecting = threading.Thread(target=_expect, args=(engine, arrivals, names, began), daemon=True)
    expecting.start()
    while coming or engine.busy:
        now = time.perf_counter() - began
        while coming and coming[0][0].at <= now:
            arrival, request = coming.pop(0)
            due[request.id] = arrival.at
            engine.submit(request)
        if not engine.busy:
            time.sleep(max(0.0, coming[0][0].at - (time.perf_counter() - began)))
            continue
        for output in engine.step():
            if output.new and output.request_id in due:
                waited.append(time.perf_counter() - began - due.pop(output.request_id))
    expecting.join()
    return waited


def _expect(
    engine: Engine, arrivals: Sequence[Arrival], names: Sequence[str | None], began: float
) -> None:
    """Say what each arrival will ask for at its time, as a server's door does."""
    for arrival, name in zip(arrivals, names, strict=True):
        time.sleep(max(0.0, arrival.at - (time.perf_counter() - began)))
        if name is not None:
            engine.expect(name)


def _p99(waited: Sequence[float]) -> float:
    return sorted(waited)[math.ceil(0.99 * len(waited)) - 1]
