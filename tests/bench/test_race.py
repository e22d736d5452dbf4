"""Lanes take turns, and every step is booked where it belongs."""

from dataclasses import dataclass, field

import pytest

from pretune.bench import race as module
from pretune.bench.race import Lane, Times, paired, race
from pretune.core.errors import PretuneError
from pretune.core.records import Chosen, Completion, FinishReason, Request
from pretune.core.segments import Role, TokenSegment
from pretune.engine.engine import Output


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Scripted:
    """An engine that admits a request a step, and whose steps take as long as said."""

    name: str
    clock: Clock
    seconds: float
    log: list[str]
    waiting: list[Request] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)

    def submit(self, request: Request) -> None:
        self.waiting.append(request)

    @property
    def busy(self) -> bool:
        return bool(self.waiting or self.left)

    def step(self) -> list[Output]:
        self.log.append(self.name)
        self.clock.now += self.seconds
        if self.waiting:
            request = self.waiting.pop(0)
            self.left[request.id] = request.max_new_tokens
        outputs = []
        for name in list(self.left):
            self.left[name] -= 1
            done = None if self.left[name] else Completion(name, (), FinishReason.LENGTH)
            outputs.append(Output(name, (Chosen(0, 0.0),), done))
            if done:
                del self.left[name]
        return outputs

    def cancel(self, name: str) -> None:
        self.left.pop(name, None)

    def stats(self):
        return self

    adapter_bytes_held = 7


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module.time, "perf_counter", clock)
    return clock


def requests(count: int, new: int) -> list[Request]:
    segments = (TokenSegment(Role.USER, (1,)),)
    return [Request(str(i), segments, None, new) for i in range(count)]


def test_lanes_take_turns_in_an_order_that_turns_round(clock):
    log: list[str] = []
    lanes = {
        name: Lane(Scripted(name, clock, seconds, log), requests(2, 4))
        for name, seconds in (("a", 1.0), ("b", 3.0))
    }
    times, beside = race(lanes, {"other": lambda: log.append("-")})
    # Two steps admit, three more decode both or the one that came later.
    assert "".join(log) == "abba-ab-ba-ab"
    assert len(beside["other"]) == 3
    a, b = times["a"], times["b"]
    assert (a.prefill, b.prefill) == (2.0, 6.0)
    assert (a.steps, b.steps) == ([1.0] * 2, [3.0] * 2)  # the last step has one request only
    assert a.held == 7
    assert paired(b.steps, a.steps) == 3.0


def test_a_lane_gives_up_after_the_steps_that_it_was_to_measure(clock):
    engine = Scripted("a", clock, 1.0, [])
    times, _ = race({"a": Lane(engine, requests(2, 99), most=3)})
    assert len(times["a"].steps) == 3
    assert not engine.busy


def test_steps_that_never_held_all_requests_are_told(clock):
    times, _ = race({"a": Lane(Scripted("a", clock, 1.0, []), requests(4, 2))})
    for asked in (lambda: times["a"].step, lambda: paired(times["a"].steps, [1.0])):
        with pytest.raises(PretuneError, match="more tokens to write"):
            asked()


def test_throughput_counts_the_first_token_to_the_prefill():
    # 32 x 128 tokens in 8 s of prefill and 127 steps of 0.2 s: 4,096 / 33.4
    assert Times(8.0, [0.2, 0.1, 0.2]).throughput(32, 128) == pytest.approx(4096 / 33.4)
