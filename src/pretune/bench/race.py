"""Engines that take turns, step by step, so that what disturbs a machine disturbs all alike."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pretune.core.errors import PretuneError
from pretune.core.records import Request
from pretune.engine.engine import Engine


class Lane(NamedTuple):
    """An engine and the requests that it gets at once. After ``most`` steps in which all of them
    decode the rest is given up; 0: all run to their end."""

    engine: Engine
    requests: Sequence[Request]
    most: int = 0


@dataclass
class Times:
    """Seconds until every request had its first token, and of each step after in which every one
    got a token; ``held`` is the most bytes of adapters that such a step needed, ``firsts`` the
    first token of each request."""

    prefill: float = 0.0
    steps: list[float] = field(default_factory=list)
    held: int = 0
    firsts: list[int] = field(default_factory=list)

    @property
    def step(self) -> float:
        """Seconds of the median step.

        Raises:
            PretuneError: there was no step in which every request got a token.
        """
        return statistics.median(_some(self.steps))

    def throughput(self, requests: int, new: int) -> float:
        """Tokens a second of ``requests`` that write ``new`` tokens each, prefill included."""
        return requests * new / (self.prefill + (new - 1) * self.step)


class _Runner:
    """One lane under way."""

    def __init__(self, lane: Lane) -> None:
        self.engine, self.times = lane.engine, Times()
        self._count, self._most = len(lane.requests), lane.most
        self._without_token = {request.id for request in lane.requests}
        self._firsts = {request.id: -1 for request in lane.requests}
        for request in lane.requests:
            self.engine.submit(request)

    @property
    def decodes(self) -> bool:
        return not self._without_token

    def step(self) -> None:
        """One step of the engine, booked where it belongs."""
        decodes = self.decodes
        began = time.perf_counter()
        outputs = self.engine.step()
        took = time.perf_counter() - began
        if not decodes:
            self.times.prefill += took
            for one in outputs:
                if one.new and one.request_id in self._without_token:
                    self._without_token.remove(one.request_id)
                    self._firsts[one.request_id] = one.new[0].token
            self.times.firsts = list(self._firsts.values())
        elif sum(bool(one.new) for one in outputs) == self._count:
            self.times.steps.append(took)
            self.times.held = max(self.times.held, self.engine.stats().adapter_bytes_held)
            if len(self.times.steps) == self._most:
                for name in self._firsts:
                    self.engine.cancel(name)


Beside = Mapping[str, Callable[[], object]]
"""Other work, by name."""


def race(
    lanes: Mapping[str, Lane], beside: Beside | None = None
) -> tuple[dict[str, Times], dict[str, list[float]]]:
    """Run all lanes to their end, one step of each in turn, in an order that turns round.

    What is ``beside`` runs once a turn while all lanes decode; its seconds come second.
    """
    runners = {name: _Runner(lane) for name, lane in lanes.items()}
    others: dict[str, list[float]] = {name: [] for name in beside or ()}
    gc.collect()
    order = list(runners.values())
    while any(runner.engine.busy for runner in order):
        if beside and all(runner.decodes for runner in order):
            for name, work in beside.items():
                began = time.perf_counter()
                work()
                others[name].append(time.perf_counter() - began)
        for runner in order:
            if runner.engine.busy:
                runner.step()
        order.reverse()
    return {name: runner.times for name, runner in runners.items()}, others


def paired(above: Sequence[float], below: Sequence[float]) -> float:
    """The median ratio of times that were taken next to each other.

    Raises:
        PretuneError: there are none.
    """
    return statistics.median(_some([a / b for a, b in zip(above, below, strict=False)]))


def _some(times: Sequence[float]) -> Sequence[float]:
    if not times:
        raise PretuneError(
            "no step had a token for every request: the first ended before the last began; "
            "give them more tokens to write"
        )
    return times
