"""Random arrivals, sizes, cancellations, preemptions, swaps and cache pressure: every request that
is let finish gets what the reference says, and after every step the books are right."""

from dataclasses import replace
from functools import cache
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laws.cases import CONFIGS, TURNS, make_adapter, request_of
from laws.probe import Probe
from pretune.adapters.injection import Injection
from pretune.bases.fakes import tiny_base
from pretune.core.records import Completion, FinishReason
from pretune.core.scope import Scope
from pretune.core.segments import Role, Turn
from pretune.engine.engine import Size
from pretune.engine.reference import Reference

PROMPTS = (
    TURNS,
    (*TURNS[:2], Turn(Role.USER, "Which rate is it that I am to pay?")),
    (*TURNS[:2], Turn(Role.USER, "Which rate is it now?")),
    (*TURNS, Turn(Role.ASSISTANT, "4%"), Turn(Role.USER, "Since when?")),
)


class Asked(NamedTuple):
    adapter: str | None
    prompt: int
    most: int


@cache
def world():
    base = tiny_base()
    adapters = {
        f"{name}@{scope}": make_adapter(base, CONFIGS[name], scope, seed=i)
        for i, (name, scope) in enumerate(
            [
                ("lora", Scope.PROMPT),
                ("lora", Scope.SUFFIX),
                ("lora", Scope.ALL),
                ("prefix_tuning", Scope.PROMPT),
                ("prompt_tuning", Scope.SUFFIX),
                ("mam", Scope.ALL),
            ]
        )
    }
    injection = Injection(base)
    for name, adapter in adapters.items():
        injection.mount(name, adapter)
    reference = Reference(injection, base.renderer.end_ids)
    answers: dict[Asked, Completion] = {}

    for adapter in (None, *adapters):
        for prompt in range(len(PROMPTS)):
            for most in (1, 3, 6):
                asked = Asked(adapter, prompt, most)
                answers[asked] = reference.generate(request(base, asked, "x"))
    for name in adapters:
        injection.unmount(name)
    return base, adapters, answers


def request(base, asked: Asked, name: str):
    made = request_of(base, asked.adapter, *PROMPTS[asked.prompt], most=asked.most)
    return replace(made, id=name)


sizes = st.builds(
    Size,
    blocks=st.integers(40, 120),
    block=st.sampled_from([2, 4]),
    slots=st.integers(1, 4),
    tokens=st.sampled_from([1, 3, 8, 64]),
    sequences=st.integers(1, 6),
).filter(lambda size: size.blocks * size.block >= 96)
submit = st.tuples(
    st.just("submit"), st.integers(0, 6), st.integers(0, 3), st.sampled_from([1, 3, 6])
)
other = st.tuples(st.sampled_from(["step", "step", "step", "cancel", "preempt", "forget"]))


@settings(max_examples=100)
@given(sizes, st.lists(submit | other, min_size=1, max_size=40))
def test_any_traffic(size, events):
    base, adapters, answers = world()
    probe = Probe(base, adapters.__getitem__, size)
    names = [None, *adapters]
    asked: dict[str, Asked] = {}
    cancelled: set[str] = set()
    done: dict[str, Completion] = {}

    def step():
        for output in probe.step():
            if output.done is not None:
                assert output.request_id not in done
                done[output.request_id] = output.done
        probe.check()

    for number, (kind, *values) in enumerate(events):
        if kind == "submit":
            adapter, prompt, most = values
            name = str(number)
            asked[name] = Asked(names[adapter], prompt, most)
            probe.submit(request(base, asked[name], name))
        elif kind == "cancel" and (open_ := [n for n in asked if n not in done]):
            probe.cancel(open_[number % len(open_)])
            cancelled.add(open_[number % len(open_)])
        elif kind == "preempt":
            probe.preempt()
        elif kind == "forget":
            probe._pool.forget()
        else:
            step()
    for _ in range(4000):
        if not probe.busy:
            break
        step()
    assert not probe.busy, "the engine came to no end"
    assert done.keys() == asked.keys()
    for name, found in done.items():
        if found.reason is FinishReason.CANCELLED:
            assert name in cancelled
            continue
        expected = answers[asked[name]]
        assert (found.ids, found.reason) == (expected.ids, expected.reason)
    assert probe.stats().blocks_held == 0
    probe.close()


@pytest.mark.parametrize("adapter", [None, "lora@prompt"])
def test_one_prompt_asked_at_once_is_written_once(adapter):
    """Ten requests of one prompt arrive together (``n``, or many tasks on one document)."""
    base, adapters, answers = world()
    asked = Asked(adapter, 1, 3)
    probe = Probe(base, adapters.__getitem__, Size(120, 4, 2, 256, 16))
    requests = [request(base, asked, str(i)) for i in range(10)]
    done = probe.finish(*requests)
    assert {d.ids for d in done.values()} == {answers[asked].ids}
    length = sum(map(len, requests[0].segments))
    assert probe.stats().reused_tokens == 9 * ((length - 1) // 4 * 4)
    probe.close()
