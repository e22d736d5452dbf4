"""Random arrivals of every method and scope, scored labels, cancellations, preemptions, versions
that change, loads that fail and cache pressure: every request that is let finish gets what the
reference says, on logits, and after every step the books are right."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from laws.cases import CONFIGS, TURNS, VARIANTS, make_adapter, request_of
from laws.probe import Probe
from laws.test_laws import TOLERANCE, differs
from pretune.adapters.adapter import Adapter
from pretune.adapters.injection import Injection
from pretune.bases.fakes import tiny_base
from pretune.core.errors import AdapterError
from pretune.core.records import FinishReason, Request
from pretune.core.scope import Scope
from pretune.core.segments import Role, Turn
from pretune.engine.engine import Output, Size
from pretune.engine.reference import Reference

PROMPTS = (
    TURNS,
    (*TURNS[:2], Turn(Role.USER, "Which rate is it that I am to pay?")),
    (*TURNS[:2], Turn(Role.USER, "Which rate is it now?")),
    (*TURNS, Turn(Role.ASSISTANT, "4%"), Turn(Role.USER, "Since when?")),
)
MOST = 6
OPTIONS = ((70, 71, 2), (70, 72, 73, 2), (80, 2))

WORLDS = [VARIANTS[first::5] for first in range(5)]
"""Every variant is in one of them, in company of other methods and scopes."""

DAMAGED = "damaged"
GONE = "this adapter cannot be read"

base = cache(tiny_base)


class Asked(NamedTuple):
    """What a request is for: ``most`` new tokens, or the scores of ``OPTIONS``."""

    adapter: Adapter | None
    prompt: int
    most: int | None


class Truth(NamedTuple):
    """The reference's answer of ``MOST`` tokens, the logits that choose each of its tokens (and its
    end), and the log-probability of each option."""

    ids: tuple[int, ...]
    logits: Tensor
    scores: list[float]


@cache
def adapter_of(variant: tuple[str, Scope], seed: int) -> Adapter:
    name, scope = variant
    return make_adapter(base(), CONFIGS[name], scope, seed=2 * VARIANTS.index(variant) + seed)


@cache
def truth(adapter: Adapter | None, prompt: int) -> Truth:
    plain = None if adapter is None else truth(None, prompt)
    injection = Injection(base())
    if adapter is not None:
        injection.mount("a", adapter)
    reference = Reference(injection, base().renderer.end_ids)
    asked = request_of(base(), adapter and "a", *PROMPTS[prompt], most=MOST)
    ids = reference.generate(asked).ids
    chosen = ids if len(ids) == MOST else (*ids, base().renderer.end_ids[0])
    logits = reference.target_logits(asked, chosen)
    scores = []
    for option in OPTIONS:
        log_probs = reference.target_logits(asked, option).log_softmax(-1)
        scores.append(float(log_probs[range(len(option)), list(option)].sum()))
    if adapter is not None:
        injection.unmount("a")
    assert plain is None or differs(logits[0], plain.logits[0])
    return Truth(ids, logits, scores)


class Traffic:
    """An engine, what was asked of it, and how each request ended.

    A task is one of ``variants``; its requests carry the name of its newest version.
    """

    def __init__(self, variants: Sequence[tuple[str, Scope]], size: Size) -> None:
        self._variants = variants
        self._versions = [0] * len(variants)
        self._shelf: dict[str, Adapter] = {}
        for task in range(len(variants)):
            self._shelf[self._name(task)] = self._newest(task)
        self.probe = Probe(base(), self._load, size)
        self.asked: dict[str, Asked] = {}
        self.ended: dict[str, Output] = {}
        self.cancelled: set[str] = set()
        self.doomed: set[str] = set()
        self.stranded: set[str] = set()

    def _load(self, name: str) -> Adapter:
        adapter = self._shelf.get(name)
        if adapter is None:
            raise AdapterError(GONE)
        return adapter

    def _name(self, task: int) -> str:
        return f"{task}@{self._versions[task]}"

    def _newest(self, task: int) -> Adapter:
        return adapter_of(self._variants[task], self._versions[task] % 2)

    def submit(self, name: str, number: int, prompt: int, most: int | None) -> None:
        """Ask the base, a task, or one whose adapter is damaged."""
        task = number % (len(self._variants) + 2)
        adapter = label = None
        if task < len(self._variants):
            adapter, label = self._newest(task), self._name(task)
        elif task == len(self._variants):
            label = DAMAGED
            self.doomed.add(name)
        self.asked[name] = Asked(adapter, prompt, most)
        request = request_of(base(), label, *PROMPTS[prompt], most=most or MOST)
        self.probe.submit(replace(request, id=name), OPTIONS if most is None else None)

    def swap(self, number: int) -> None:
        """A task comes to mean another version, and the old one is gone from disk: who was admitted
        with it keeps it, and who was not may be too late."""
        task = number % len(self._variants)
        old = self._name(task)
        self.stranded |= {
            one.request.id
            for one in self.probe._requests.values()
            if one.request.adapter == old and one.adapter is None
        }
        del self._shelf[old]
        self._versions[task] += 1
        self._shelf[self._name(task)] = self._newest(task)

    def cancel(self, number: int) -> None:
        """Give up one of those under way."""
        if under_way := [name for name in self.asked if name not in self.ended]:
            name = under_way[number % len(under_way)]
            self.probe.cancel(name)
            self.cancelled.add(name)

    def step(self) -> None:
        for output in self.probe.step():
            if output.done is not None or output.scores is not None:
                assert output.request_id not in self.ended
                self.ended[output.request_id] = output
        self.probe.check()

    def drain(self) -> None:
        """Step until nothing is under way."""
        for _ in range(4000):
            if not self.probe.busy:
                return
            self.step()
        raise AssertionError("the engine came to no end")

    def judge(self, name: str) -> None:
        """Whether a request ended as it may, and has the reference's logits and answer."""
        asked, (_, _, done, scores, _) = self.asked[name], self.ended[name]
        if done is not None and done.reason is FinishReason.CANCELLED:
            assert name in self.cancelled
            return
        if name in self.doomed or (name in self.stranded and done is not None and done.error):
            assert done is not None
            assert (done.reason, done.error) == (FinishReason.FAILED, GONE)
            return
        true, last = truth(asked.adapter, asked.prompt), 0
        if asked.most is None:
            assert scores is not None
            assert list(scores.log_probs) == pytest.approx(true.scores, abs=1e-3)
        else:
            assert done is not None
            full = len(true.ids) >= asked.most
            reason = FinishReason.LENGTH if full else FinishReason.END
            assert (done.ids, done.reason) == (true.ids[: asked.most], reason)
            last = len(done.ids) - full
        assert_close(self.probe.logits[name][-1], true.logits[last], **TOLERANCE)


sizes = st.builds(
    Size,
    blocks=st.integers(40, 120),
    block=st.sampled_from([2, 4]),
    slots=st.integers(1, 4),
    tokens=st.sampled_from([1, 3, 8, 64]),
    sequences=st.integers(1, 6),
).filter(lambda size: size.blocks * size.block >= 96)
submit = st.tuples(
    st.just("submit"), st.integers(0, 7), st.integers(0, 3), st.sampled_from([None, 1, 3, MOST])
)
other = st.tuples(st.sampled_from(["step", "step", "step", "cancel", "preempt", "forget", "swap"]))


@pytest.mark.parametrize("variants", WORLDS, ids=range(len(WORLDS)))
@settings(max_examples=7)
@given(size=sizes, events=st.lists(submit | other, min_size=10, max_size=40))
def test_any_traffic(variants, size, events):
    traffic = Traffic(variants, size)
    for number, (kind, *values) in enumerate(events):
        if kind == "submit":
            traffic.submit(str(number), *values)
        elif kind == "cancel":
            traffic.cancel(number)
        elif kind == "swap":
            traffic.swap(number)
        elif kind == "preempt":
            traffic.probe.preempt()
        elif kind == "forget":
            traffic.probe._pool.forget()
        else:
            traffic.step()
    traffic.drain()
    assert traffic.ended.keys() == traffic.asked.keys()
    assert traffic.probe.stats().blocks_held == 0
    traffic.probe.close()
    for name in traffic.ended:
        traffic.judge(name)


@pytest.mark.parametrize("adapter", [None, adapter_of(("lora", Scope.PROMPT), 0)])
def test_one_prompt_asked_at_once_is_written_once(adapter):
    """Ten requests of one prompt arrive together (``n``, or many tasks on one document)."""
    probe = Probe(base(), {"a": adapter}.__getitem__, Size(120, 4, 2, 256, 16))
    asked = request_of(base(), adapter and "a", *PROMPTS[1], most=3)
    requests: list[Request] = [replace(asked, id=str(i)) for i in range(10)]
    done = probe.finish(*requests)
    length = sum(map(len, asked.segments))
    assert probe.stats().reused_tokens == 9 * ((length - 1) // 4 * 4)
    probe.close()
    assert {d.ids for d in done.values()} == {truth(adapter, 1).ids[:3]}
