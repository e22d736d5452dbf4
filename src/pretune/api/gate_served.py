"""The served part of a gate: a real server on loopback, asked at the loads that goals name."""

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pretune.api.registry import anywhere
from pretune.api.runs import RunFolder
from pretune.api.served import Server, serving
from pretune.core.errors import PretuneError
from pretune.core.files import write_atomic
from pretune.core.records import Row, TokenExample
from pretune.data.dataset import read_examples
from pretune.data.template import Template
from pretune.gating.evidence import Load, Measure
from pretune.gating.percentiles import percentile, values_needed
from pretune.serving import arrivals
from pretune.spec.dump import dump_task
from pretune.spec.goals import Goal
from pretune.spec.quantities import percentile_of
from pretune.spec.task import TaskSpec

_WARM = 5
"""Requests before the clock: a first one pays for what is set up once."""

_SPARE = 1.2
"""Requests sent for each that the highest percentile needs."""

_FEWEST = 100
_ALWAYS = (50.0, 90.0, 99.0)
"""Percentiles that are told whether or not a goal asks."""


def rows_of(task: TaskSpec, examples: Sequence[TokenExample]) -> list[Row]:
    """The rows that ``examples`` of ``task`` were made of, in the order of the files."""
    wanted = {one.row_id for one in examples}
    read = read_examples(task, Template(task))
    return [row for _, row, _ in read if row is not None and row.id in wanted]


def of_serving(goals: Iterable[Goal]) -> tuple[Goal, ...]:
    """Those of ``goals`` that a served task answers: latencies, costs, its memory."""
    return tuple(
        goal
        for goal in goals
        if goal.quantity and (goal.quantity.under_load or goal.metric == "serve_memory_gb")
    )


def serve_and_load(
    task: TaskSpec, adapter: Path, rows: Sequence[Row], seconds: float
) -> tuple[Load, ...]:
    """Serve the adapter in the folder ``adapter`` as ``task`` by ``pretune serve``, and ask it
    ``rows`` at each load that its goals name, for at most ``seconds`` each.

    Raises:
        PretuneError: the server does not start, or the requests could not be sent.
    """
    goals = of_serving(task.goals)
    loads = list(dict.fromkeys(goal.load for goal in goals))
    with tempfile.TemporaryDirectory(prefix="pretune-gate-") as place:
        run = RunFolder(Path(place) / task.name)
        write_atomic(run.task, dump_task(anywhere(task)))
        run.adapters.mkdir()
        own = run.adapters / "gated"
        own.symlink_to(adapter.resolve(), target_is_directory=True)
        run.write_record({"task": task.name, "adapter": str(own.relative_to(run.path))})
        with serving([run.path]) as server:
            _ask(server, _bodies(task, rows, _WARM, salt="warm"), None, 60.0)
            return tuple(_load(server, task, goals, rps, rows, seconds) for rps in loads)


def measures_of(load: Load, goals: Iterable[Goal]) -> dict[str, Measure]:
    """What ``load`` says of those of ``goals`` that are about it, by the name that they ask for."""
    found: dict[str, Measure] = {}
    for goal in of_serving(goals):
        if goal.load != load.rps:
            continue
        if goal.metric == "serve_memory_gb":
            if load.memory is not None:
                found[goal.measure] = _counted(load.memory / 1e9)
        elif goal.price_per_hour is not None:
            found[goal.measure] = _counted(goal.price_per_hour / 3600 / load.carried * 1000)
        elif goal.metric in load.measures:
            found[goal.measure] = load.measures[goal.metric]
    return found


def _counted(value: float) -> Measure:
    return Measure(value=value, low=value, high=value, n=1, of="server")


def _load(
    server: Server,
    task: TaskSpec,
    goals: Sequence[Goal],
    rps: float | None,
    rows: Sequence[Row],
    seconds: float,
) -> Load:
    asked = [p for goal in goals if goal.load == rps if (p := percentile_of(goal.metric))]
    needed = [values_needed(one / 100) for one in asked]
    wanted = int(_SPARE * max([_FEWEST, *needed]))
    count = wanted if rps is None else max(1, int(min(wanted, rps * seconds)))
    at = None if rps is None else _times(rps, count)
    told = _ask(server, _bodies(task, rows, count, salt=f"at {rps}"), at, seconds)
    answered = len(told["latency"]) - told["failed"]
    if not answered:
        raise PretuneError(
            f"none of {len(told['latency'])} requests was answered; see what the server says: "
            "pretune serve RUN"
        )
    return Load(
        rps=rps,
        sent=len(told["latency"]),
        failed=told["failed"],
        seconds=told["seconds"],
        carried=answered / told["seconds"],
        measures=_percentiles(told, sorted({*_ALWAYS, *asked})),
        memory=None if torch.cuda.is_available() else server.peak_memory(),
    )


def _percentiles(told: Mapping[str, Any], shares: Sequence[float]) -> dict[str, Measure]:
    kinds = {"latency": told["latency"], "ttft": told["first"]}
    return {
        f"p{share:g}_{kind}_ms": percentile([1000 * one for one in values], share / 100)
        for kind, values in kinds.items()
        for share in shares
    }


def _times(rps: float, count: int) -> list[float]:
    """Arrivals of people who do not know of each other (Poisson), the same each time."""
    chance, now, times = random.Random(0), 0.0, []
    for _ in range(count):
        now += chance.expovariate(rps)
        times.append(now)
    return times


def _bodies(task: TaskSpec, rows: Sequence[Row], count: int, salt: str) -> list[dict[str, Any]]:
    """Requests for ``rows`` in a random order, over and over. Each time round has a salt of its
    own, so that no row is found in the cache that an earlier time left."""
    order = list(rows)
    random.Random(0).shuffle(order)
    return [
        {
            "model": task.name,
            "fields": json.loads(json.dumps(dict(order[n % len(order)].fields), default=str)),
            "cache_salt": f"{salt} {n // len(order)}",
            "timeout": arrivals.FAILED,
        }
        for n in range(count)
    ]


def _ask(
    server: Server, bodies: list[dict[str, Any]], at: list[float] | None, seconds: float
) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, "-m", arrivals.__name__, str(server.port)],
        input=json.dumps({"bodies": bodies, "at": at, "seconds": seconds}),
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise PretuneError(f"the requests could not be sent: {ran.stderr.strip()[-500:]}")
    told: dict[str, Any] = json.loads(ran.stdout)
    return told
