"""The design's laws in the engine, over every registered method x scope, on logits and on cached
keys and values, against the reference."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from laws.cases import (
    ANSWER,
    CONFIGS,
    TURNS,
    VARIANTS,
    make_adapter,
    request_of,
    segments_of,
)
from laws.probe import SMALL, Probe
from laws.test_laws import TOLERANCE, differs, kv, new_cache
from pretune.adapters.adapter import Adapter
from pretune.core.records import Completion, FinishReason, Request
from pretune.core.scope import Scope
from pretune.core.segments import Role, TokenSegment, Turn
from pretune.engine.reference import Reference

LONG = (*TURNS[:2], Turn(Role.USER, "Which rate is it that I am to pay?"))
MOST = 4


@pytest.fixture
def others(base) -> dict[str, Adapter]:
    return {
        "lora": make_adapter(base, CONFIGS["lora"], Scope.SUFFIX, seed=1),
        "everywhere": make_adapter(base, CONFIGS["lora"], Scope.ALL, seed=2),
        "soft": make_adapter(base, CONFIGS["prompt_tuning"], Scope.PROMPT, seed=3),
    }


@pytest.fixture
def world(adapter, others, set_up):
    """The adapters by name, and a reference that knows them too."""
    adapters = {"a": adapter, **others}
    return adapters, set_up(**adapters).reference


def named(base, name: str, adapter: str | None, *turns: Turn) -> Request:
    return replace(request_of(base, adapter, *turns, most=MOST), id=name)


def expected(
    reference: Reference, request: Request, answer: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Logits that choose each token of ``answer`` (and what follows it), and the cache."""
    cache = new_cache(reference._injection.base)
    rows = [reference.prefill(request, cache)[-1]]
    rows += [reference.step(request, token, cache) for token in answer]
    return torch.stack(rows), kv(cache)


def agrees(probe: Probe, reference: Reference, request: Request, answer: tuple[int, ...]) -> None:
    """Every logit and every key and value of ``request`` is the reference's."""
    logits, cache = expected(reference, request, answer)
    found = torch.stack(probe.logits[request.id])
    assert_close(found, logits[: len(found)], **TOLERANCE)
    written = probe.kv[request.id]
    assert_close(written, cache[:, :, :, : written.shape[3]], **TOLERANCE)


def agrees_at_the_end(
    probe: Probe, reference: Reference, request: Request, done: Completion
) -> None:
    """The logits of the last choice are the reference's, whatever was written twice before."""
    logits, _ = expected(reference, request, done.ids)
    last = len(done.ids) - (done.reason is FinishReason.LENGTH)
    assert_close(probe.logits[request.id][-1], logits[last], **TOLERANCE)


def test_mixed_is_alone(base, world):
    """Laws 1, 2 and 3: whatever runs beside it, a request has the reference's logits and cache;
    and the reference decodes with the base alone."""
    adapters, reference = world
    requests = [
        named(base, "tuned", "a"),
        named(base, "plain", None),
        *(named(base, name, name, *LONG) for name in adapters if name != "a"),
        named(base, "long", "a", *LONG),
    ]
    probe = Probe(base, adapters.__getitem__)
    done = probe.finish(*requests)
    assert differs(probe.logits["tuned"][0], probe.logits["plain"][0])
    for request in requests:
        agrees(probe, reference, request, done[request.id].ids)
    probe.close()


def test_decode_holds_no_adapter(base, adapter):
    """In pure decode nothing of a task is left, unless its scope is ``all``."""
    probe = Probe(base, {"a": adapter}.__getitem__)
    probe.submit(named(base, "tuned", "a"))
    while not probe.logits:
        probe.step()
    stats = probe.stats()
    assert stats.adapter_loads == 1
    assert (stats.adapter_bytes_held > 0) == (adapter.scope is Scope.ALL)
    probe.close()


@pytest.mark.parametrize("tokens", [1, 2, 7])
def test_chunked_is_whole(base, world, tokens):
    """Law 4, pieces of one token included."""
    adapters, reference = world
    request = named(base, "tuned", "a")
    probe = Probe(base, adapters.__getitem__, SMALL._replace(tokens=tokens))
    done = probe.finish(request)
    assert max(len(piece) for pieces in probe.pieces for piece in pieces) == tokens
    agrees(probe, reference, request, done["tuned"].ids)
    probe.close()


@pytest.mark.parametrize("generated", [0, 1, 3])
@pytest.mark.parametrize("kept", [True, False])
def test_interrupted_is_uninterrupted(base, world, generated, kept):
    """Law 5, in prefill and in decode, with the blocks found again or lost."""
    adapters, reference = world
    requests = [named(base, "first", None, *LONG), named(base, "tuned", "a")]
    probe = Probe(base, adapters.__getitem__, SMALL._replace(tokens=8))
    for request in requests:
        probe.submit(request)
    done = {}
    while probe.busy:
        tuned = probe._requests.get("tuned")
        begun = tuned is not None and tuned.written > 0 and len(tuned.generated) == generated
        if begun and not probe.stats().preemptions:
            probe.preempt()
            if not kept:
                probe._pool.forget()
        done |= {o.request_id: o.done for o in probe.step() if o.done}
        probe.check()
    assert probe.stats().preemptions == 1
    for request in requests:
        agrees_at_the_end(probe, reference, request, done[request.id])
        cache = expected(reference, request, done[request.id].ids)[1]
        written = probe.kv[request.id]
        assert_close(written, cache[:, :, :, : written.shape[3]], **TOLERANCE)
    probe.close()


def test_cached_is_uncached(base, world):
    """Law 6: what another request wrote is taken up again, and changes nothing."""
    adapters, reference = world
    probe = Probe(base, adapters.__getitem__)
    probe.finish(named(base, "first", "a"), named(base, "plain", None))
    before = probe.stats().reused_tokens
    requests = [
        named(base, "again", "a"),
        named(base, "again-plain", None),
        named(base, "longer", "a", *LONG),
    ]
    done = probe.finish(*requests)
    assert probe.stats().reused_tokens > before + 3 * SMALL.block
    for request in requests:
        agrees(probe, reference, request, done[request.id].ids)
    probe.close()


def test_turn_two_is_replay(base, world):
    """Law 7: the first turn's prompt *and answer* are found again, and are what a replay writes."""
    adapters, reference = world
    probe = Probe(base, adapters.__getitem__, SMALL._replace(block=2))
    opening = (*TURNS[:2], Turn(Role.USER, "Which?"))
    first = named(base, "first", "a", *opening)
    answer = segments_of(base, *opening, ANSWER)[-2:]
    ids = [token for segment in answer for token in segment.ids]
    forced = iter(ids)
    _force(probe, "first", forced)
    probe.finish(replace(first, max_new_tokens=len(ids)))
    before = probe.stats().reused_tokens
    turns = (*opening, Turn(Role.ASSISTANT, ANSWER.text), Turn(Role.USER, "Since when?"))
    second = named(base, "second", "a", *turns)
    done = probe.finish(second)
    reused = probe.stats().reused_tokens - before
    written = len(reference.layout(first)) + len(ids) - 1  # the last token was never run
    assert reused == written // 2 * 2
    agrees(probe, reference, second, done["second"].ids)
    probe.close()


def _force(probe: Probe, name: str, tokens) -> None:
    """Let the engine write ``tokens`` for one request, whatever it would choose."""
    take = probe._take

    def forced(sequence, chosen):
        if sequence.request.id == name:
            chosen = replace(chosen, token=next(tokens))
        return take(sequence, chosen)

    probe._take = forced
    probe._end_ids = frozenset()


def test_swapped_is_clean(base, world):
    """Law 10: the name ``a`` comes to mean another adapter; who was admitted before keeps his."""
    adapters, reference = world
    registry = {"a@1": adapters["a"], "a@2": adapters["everywhere"]}
    probe = Probe(base, registry.__getitem__, SMALL._replace(slots=1))
    old = replace(named(base, "old", "a@1"), max_new_tokens=8)
    probe.submit(old)
    while not probe.logits:
        probe.step()
    del registry["a@1"]  # gone from disk as well
    new = named(base, "new", "a@2")
    probe.submit(new)
    probe.preempt()  # so that the old adapter is needed once more
    done = {}
    while probe.busy:
        done |= {o.request_id: o.done for o in probe.step() if o.done}
        probe.check()
    for request, name in ((old, "a"), (new, "everywhere")):
        agrees_at_the_end(probe, reference, replace(request, adapter=name), done[request.id])
    probe.close()


def test_scores_are_the_reference(base, world):
    adapters, reference = world
    options = [(70, 71, 2), (70, 72, 73, 2), (80, 2), (70, 2)]
    requests = [
        named(base, "a", "a"),
        named(base, "b", None, *TURNS[1:]),
        named(base, "c", "a", *LONG),
    ]
    probe = Probe(base, adapters.__getitem__, SMALL._replace(tokens=16))
    scores = probe.score(requests, options)
    probe.check()
    assert differs(torch.tensor(scores[0].log_probs), torch.tensor(scores[1].log_probs))
    for request, found in zip(requests, scores, strict=True):
        for option, score in zip(options, found.log_probs, strict=True):
            logits = reference.target_logits(request, option)
            log_probs = logits.log_softmax(-1)[range(len(option)), list(option)]
            assert score == pytest.approx(float(log_probs.sum()), abs=1e-3)
    probe.close()


SUFFIXED = [name for name, scope in VARIANTS if scope is Scope.SUFFIX]


@pytest.mark.parametrize("name", SUFFIXED)
@pytest.mark.parametrize("first", [None, "a"])
def test_suffix_shares_the_context_with_every_task_and_the_base(base, set_up, name, first):
    """One document, many tasks: its blocks are written once, by the base, whoever came first."""
    adapters = {
        "a": make_adapter(base, CONFIGS[name], Scope.SUFFIX, seed=1),
        "other": make_adapter(base, CONFIGS["lora"], Scope.SUFFIX, seed=2),
    }
    reference = set_up(**adapters).reference
    document = Turn(Role.CONTEXT, "The rate is 4% a year and is paid on the last day of March.")
    turns = (TURNS[0], document, TURNS[2])
    shared = sum(len(s) for s in segments_of(base, *turns[:2])[:-1]) // SMALL.block * SMALL.block
    assert shared > 60
    probe = Probe(base, adapters.__getitem__)
    for adapter in (first, *(one for one in (None, *adapters) if one != first)):
        request = named(base, str(adapter), adapter, *turns)
        before = probe.stats().reused_tokens
        done = probe.finish(request)
        assert probe.stats().reused_tokens - before == (0 if adapter == first else shared)
        agrees(probe, reference, request, done[request.id].ids)
    assert differs(probe.logits["a"][0], probe.logits["None"][0])
    again = named(base, "again", None, *turns)
    done = probe.finish(again)
    agrees(probe, reference, again, done["again"].ids)
    probe.close()


VIRTUAL = [name for name, config in CONFIGS.items() if config.virtual_tokens]


@pytest.mark.parametrize("length", [2 * SMALL.block, 2 * SMALL.block + 2])
@pytest.mark.parametrize("name", VIRTUAL)
@pytest.mark.parametrize("together", [False, True])
def test_what_a_method_writes_before_the_prompt_is_written_once(
    base, set_up, name, length, together
):
    """Two prompts of one task with no common beginning share the prefix's complete blocks."""
    adapters = {
        "a": make_adapter(
            base, CONFIGS[name].model_copy(update={"length": length}), Scope.PROMPT, seed=1
        )
    }
    reference = set_up(**adapters).reference
    words = [range(first, first + 11) for first in (70, 90)]
    requests = [
        Request(str(i), (TokenSegment(Role.USER, tuple(ids)),), "a", MOST)
        for i, ids in enumerate(words)
    ]
    probe = Probe(base, adapters.__getitem__)
    if together:
        done = probe.finish(*requests)
    else:
        done = probe.finish(requests[0]) | probe.finish(requests[1])
    assert probe.stats().reused_tokens == length // SMALL.block * SMALL.block
    for request in requests:
        agrees(probe, reference, request, done[request.id].ids)
    plain = replace(requests[0], id="plain", adapter=None)
    probe.finish(plain)
    assert differs(probe.logits["0"][0], probe.logits["plain"][0])
    probe.close()
