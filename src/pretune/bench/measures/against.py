"""pretune and a peer on the same base, prompts and adapters, taking turns."""

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from pretune.bench.figures import Figure, milliseconds
from pretune.bench.measures.measure import Tell
from pretune.bench.peers.process import Peer
from pretune.bench.race import Lane, Times, race
from pretune.bench.stand import WARM_PROMPT, Stand
from pretune.engine.engine import Engine


class Round(NamedTuple):
    """One run each on requests of ``tasks`` tasks (0: of the base alone)."""

    tasks: int
    ours: Times
    theirs: Times


def compare(stand: Stand, tell: Tell, peer: Peer, numbers: Sequence[int]) -> list[Round]:
    """Rounds of each of ``numbers`` of tasks: the last in every repeat, the others once."""
    work = stand.work
    turns = [(r, n) for r in range(work.repeats) for n in numbers if n == numbers[-1] or not r]
    rounds = []
    with stand.engine(stand.base, slots=max(1, *numbers)) as engine:
        for tasks in numbers:
            _round(stand, engine, peer, tasks, 2, -1, WARM_PROMPT)
        for place, (repeat, tasks) in enumerate(turns):
            rounds.append(_round(stand, engine, peer, tasks, work.steps + 1, repeat, work.prompt))
            tell((place + 1) / len(turns))
    return rounds


def _round(
    stand: Stand, engine: Engine, peer: Peer, tasks: int, new: int, seed: int, prompt: int
) -> Round:
    count = stand.work.requests
    names = stand.names(tasks) if tasks else [None] * count
    requests = stand.requests(names, new, seed, prompt)
    ours, _ = race({"ours": Lane(engine, requests)})
    theirs = peer.run(
        [request.segments[0].ids for request in requests],
        [i % tasks if tasks else None for i in range(count)],
        new,
    )
    return Round(tasks, ours["ours"], theirs)


def speedup(stand: Stand, name: str, rounds: Sequence[Round], engine: str) -> Figure:
    """Our throughput over theirs at the last number of tasks; all others are in the details."""
    work = stand.work
    speeds = [
        (
            one.tasks,
            one.ours.throughput(work.requests, work.new),
            one.theirs.throughput(work.requests, work.new),
        )
        for one in rounds
    ]
    last = rounds[-1].tasks
    sides: dict[str, Any] = {}
    for side, times in (
        ("pretune", [one.ours for one in rounds if one.tasks == last]),
        (engine, [one.theirs for one in rounds if one.tasks == last]),
    ):
        sides[side] = {
            "prefill_s": round(statistics.median(t.prefill for t in times), 2),
            "step_ms": milliseconds([s for t in times for s in t.steps]),
        }
    points = [
        {
            "engine": side,
            "tasks": tasks,
            "tokens_per_s": round(statistics.median(s[i] for s in speeds if s[0] == tasks), 1),
        }
        for i, side in ((1, "pretune"), (2, engine))
        for tasks in dict.fromkeys(tasks for tasks, _, _ in speeds)
    ]
    ratios = [ours / theirs for tasks, ours, theirs in speeds if tasks == last]
    each = [
        {
            "tasks": one.tasks,
            # Of rounded products, some come out otherwise; of another model, nearly all.
            "first_tokens_alike": round(
                statistics.mean(
                    a == b for a, b in zip(one.ours.firsts, one.theirs.firsts, strict=True)
                ),
                2,
            ),
            **{
                side: [round(times.prefill, 2), milliseconds(times.steps)]
                for side, times in (("pretune", one.ours), (engine, one.theirs))
            },
        }
        for one in rounds
    ]
    return Figure.of(name, ratios, **sides, points=points, rounds=each)
