"""Fair queueing: nobody is starved, weights are kept, and without contention nothing changes."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laws.cases import CONFIGS, TURNS, make_adapter, request_of
from laws.probe import SMALL, Probe
from pretune.bases.fakes import tiny_base
from pretune.core.records import Request
from pretune.core.scope import Scope
from pretune.core.segments import Role, TokenSegment, Turn
from pretune.engine.queue import FairQueue
from pretune.engine.sequence import Sequence


def one(name: str, group: str, tokens: int = 10, weight: float = 1.0) -> Sequence:
    prompt = (TokenSegment(Role.USER, (7,) * (tokens - 1)),)
    return Sequence(Request(name, prompt, max_new_tokens=1, group=group, weight=weight))


def served(queue: FairQueue, most: int = 10**6) -> list[str]:
    """Ids in the order in which they are let in."""
    names = []
    while len(queue) and len(names) < most:
        first = next(iter(queue))
        queue.let_in(first)
        names.append(first.request.id)
    return names


def test_one_of_another_group_stands_before_two_hundred():
    queue = FairQueue()
    for i in range(200):
        queue.add(one(f"noisy-{i}", "noisy"))
    assert served(queue, 3) == ["noisy-0", "noisy-1", "noisy-2"]
    queue.add(one("quiet", "quiet"))
    assert served(queue, 2) == ["quiet", "noisy-3"]


def test_groups_take_turns_and_keep_their_own_order():
    queue = FairQueue()
    for i in range(3):
        queue.add(one(f"a{i}", "a"))
    for i in range(3):
        queue.add(one(f"b{i}", "b"))
    assert served(queue) == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_shares_are_in_proportion_to_weights():
    queue = FairQueue()
    for i in range(100):
        queue.add(one(f"light-{i}", "light"))
        queue.add(one(f"heavy-{i}", "heavy", weight=3.0))
    first = Counter(name.partition("-")[0] for name in served(queue, 80))
    assert first == {"light": 20, "heavy": 60}


def test_tokens_count_and_not_requests():
    queue = FairQueue()
    for i in range(100):
        queue.add(one(f"long-{i}", "long", tokens=90))
        queue.add(one(f"short-{i}", "short", tokens=10))
    first = Counter(name.partition("-")[0] for name in served(queue, 100))
    assert first == {"long": 10, "short": 90}


def test_who_was_not_there_has_saved_nothing_up():
    queue = FairQueue()
    for i in range(150):
        queue.add(one(f"old-{i}", "old"))
    served(queue, 100)
    for i in range(50):
        queue.add(one(f"new-{i}", "new"))
    first = Counter(name.partition("-")[0] for name in served(queue, 40))
    assert first == {"old": 20, "new": 20}


def test_what_nobody_had_to_wait_for_is_not_held_against_anyone():
    queue = FairQueue()
    for i in range(50):
        queue.add(one(f"busy-{i}", "busy"))
        assert served(queue) == [f"busy-{i}"]
    queue.add(one("busy", "busy"))
    queue.add(one("new", "new"))
    assert served(queue) == ["busy", "new"]


@given(st.lists(st.tuples(st.integers(2, 50), st.booleans()), max_size=30))
def test_alone_the_order_is_that_of_arrival(events):
    """Whatever is let in between, and whoever is put back."""
    queue, names, left = FairQueue(), [], []
    for i, (tokens, lets_in) in enumerate(events):
        queue.add(one(str(i), "only", tokens))
        left.append(str(i))
        if lets_in:
            first = next(iter(queue))
            queue.let_in(first)
            if tokens % 2:
                queue.put_back(first)  # preempted: it is first again
            else:
                names.append(first.request.id)
                left.remove(first.request.id)
        assert [s.request.id for s in queue] == left
    assert names == sorted(names, key=int)


def test_in_the_engine_a_noisy_task_delays_another_by_a_bounded_number_of_steps():
    """With two hundred requests queued the quiet one takes the next place that falls free."""
    base = tiny_base()
    adapters = {n: make_adapter(base, CONFIGS["lora"], Scope.PROMPT) for n in ("noisy", "quiet")}
    most, places = 4, 4
    probe = Probe(base, adapters.__getitem__, SMALL._replace(blocks=200, sequences=places))
    probe.finish(replace(request_of(base, "quiet", most=1), id="warm"))  # its adapter is in a slot
    prompts = [request_of(base, "noisy", *TURNS[:2], Turn(Role.USER, f"{i}?")) for i in range(200)]
    for i, prompt in enumerate(prompts):
        probe.submit(replace(prompt, id=f"noisy-{i}", max_new_tokens=most))
    while probe.stats().running < places:
        probe.step()
    before = probe.stats().steps
    probe.submit(replace(request_of(base, "quiet", most=most), id="quiet"))
    done: set[str] = set()
    while "quiet" not in done:
        done |= {output.request_id for output in probe.step() if output.done}
        probe.check()
    # A place falls free when one of those that run has written its answer; then the quiet one
    # writes its prompt (under 64 tokens: one step, two beside others) and its answer.
    assert probe.stats().steps - before <= most + 2 + most
    assert len(done) <= 2 * places + 1
    assert probe.stats().waiting > 180
    probe.close()


@pytest.mark.parametrize("group", [None, "same"])
def test_requests_are_grouped_by_adapter_unless_they_say_otherwise(group):
    base = tiny_base()
    request = replace(request_of(base, "a"), group=group)
    assert Sequence(request).group == (group or "a")
    assert Sequence(request_of(base, None)).group == ""


def test_blocks_are_found_by_those_of_the_same_salt_only():
    base = tiny_base()
    probe = Probe(base)
    reused = []
    for name, salt in (("1", "a"), ("2", "b"), ("3", ""), ("4", "a"), ("5", "")):
        before = probe.stats().reused_tokens
        probe.finish(replace(request_of(base, None, most=2), id=name, salt=salt))
        reused.append(probe.stats().reused_tokens > before)
    assert reused == [False, False, False, True, True]
    probe.close()
