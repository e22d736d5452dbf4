"""The engine on CUDA, decode by captured graphs, against the reference: every method x scope, every
family, float32 without TF32; on logits and on cached keys and values."""

import copy
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from engine.test_fused import HOSTS, noisy, together
from laws.cases import CONFIGS, TURNS, VARIANTS, make_adapter, request_of
from laws.probe import SMALL, Probe
from laws.test_engine_laws import LONG, agrees, agrees_at_the_end, named
from laws.test_laws import TOLERANCE, differs
from pretune.adapters.injection import Injection
from pretune.bases import Base
from pretune.bases.anatomy import dissect
from pretune.bases.fakes import FAMILIES, tiny_base
from pretune.core.sampling import Sampling
from pretune.core.scope import Scope
from pretune.engine.engine import Engine
from pretune.engine.reference import Reference

ROOM = SMALL._replace(tokens=512)


@pytest.fixture(scope="module")
def base(moved):
    return moved(tiny_base())


@pytest.fixture(params=VARIANTS, ids=lambda variant: f"{variant[0]}@{variant[1]}")
def world(request, base):
    """Adapters by name, made on the CPU, and a reference on the device that knows them."""
    name, scope = request.param
    adapters = {
        "a": make_adapter(base, CONFIGS[name], scope),
        "lora": make_adapter(base, CONFIGS["lora"], Scope.SUFFIX, seed=1),
        "everywhere": make_adapter(base, CONFIGS["lora"], Scope.ALL, seed=2),
        "soft": make_adapter(base, CONFIGS["prompt_tuning"], Scope.PROMPT, seed=3),
    }
    injection = Injection(base)
    for key, adapter in adapters.items():
        injection.mount(key, adapter)
    yield adapters, Reference(injection, base.renderer.end_ids)
    for key in adapters:
        injection.unmount(key)


def decoded(base, adapters, requests, reference, size=ROOM) -> Probe:
    """Run and compare."""
    probe = Probe(base, adapters.__getitem__, size)
    done = together(probe, *requests)
    for request in requests:
        agrees(probe, reference, request, done[request.id].ids)
    probe.close()
    return probe


def test_mixed_is_alone(base, world):
    adapters, reference = world
    requests = [
        named(base, "tuned", "a"),
        named(base, "plain", None),
        *(named(base, name, name, *LONG) for name in adapters if name != "a"),
        named(base, "long", "a", *LONG),
    ]
    probe = decoded(base, adapters, requests, reference, ROOM._replace(slots=4))
    assert differs(probe.logits["tuned"][0], probe.logits["plain"][0])


def test_decode_is_a_graph_of_the_base(moved, base, world):
    """Alone on its base, so that nobody else's hooks keep it from being captured."""
    adapters, reference = world
    twin = moved(tiny_base())
    probe = Probe(twin, adapters.__getitem__, ROOM)
    requests = [named(base, "tuned", "a"), named(base, "plain", None)]
    done = together(probe, *requests)
    for request in requests:
        agrees(probe, reference, request, done[request.id].ids)
    stats = probe.stats()
    assert stats.eager is None
    assert (stats.graphs > 0) == (adapters["a"].scope is not Scope.ALL)
    probe.close()


@pytest.mark.parametrize("tokens", [1, 7])
def test_chunked_and_interrupted(moved, base, world, tokens):
    adapters, reference = world
    probe = Probe(moved(tiny_base()), adapters.__getitem__, SMALL._replace(tokens=tokens))
    requests = [named(base, "tuned", "a"), named(base, "plain", None, *LONG)]
    for request in requests:
        probe.submit(request)
    done = {}
    while probe.busy:
        if probe._steps == 30 // tokens and not probe.stats().preemptions:
            probe.preempt()
        done |= {o.request_id: o.done for o in probe.step() if o.done}
        probe.check()
    for request in requests:
        agrees_at_the_end(probe, reference, request, done[request.id])
    probe.close()


def on_its_own(moved, family: str, **changes) -> Probe:
    """Three prompts decode on a base of ``family`` as on the CPU, where the reference is held to:
    its cache of a sliding window is too short to be compared with."""
    here = _three(noisy(tiny_base(family, **changes)))
    there = _three(moved(noisy(tiny_base(family, **changes))))
    for name, logits in here.logits.items():
        assert_close(torch.stack(there.logits[name]).cpu(), torch.stack(logits), **TOLERANCE)
        assert_close(there.kv[name].cpu(), here.kv[name], **TOLERANCE)
    return there


def _three(base: Base) -> Probe:
    probe = Probe(base, size=ROOM)
    requests = [named(base, str(i), None, *turns) for i, turns in enumerate((TURNS, LONG))]
    requests.append(replace(requests[0], id="apart", salt="nobody else's"))
    together(probe, *requests)
    return probe


@pytest.mark.parametrize("host", HOSTS)
def test_fused_hosts(moved, host):
    family, changes = HOSTS[host]
    probe = on_its_own(moved, family, **changes)
    captured = host != "llama-far"
    assert (probe.stats().eager is None) == captured
    assert (probe.stats().graphs > 0) == captured


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(moved, family):
    probe = on_its_own(moved, family, pad_token_id=None)
    assert probe.stats().eager is None
    assert probe.stats().graphs > 0


def test_a_base_that_reads_back_decodes_without_graphs(moved):
    family, changes = HOSTS["llama-far"]  # its rotary tables grow by what is read back
    probe = on_its_own(moved, family, **changes)
    assert "cannot be captured" in probe.stats().eager
    again = on_its_own(moved, "llama")  # and leaves the device as it was
    assert again.stats().graphs > 0


def test_sampling_and_scoring(moved):
    """The same seeds and options as on the CPU, and nearly the same numbers."""
    own, far = tiny_base(), moved(tiny_base())
    how = Sampling(
        temperature=0.8, top_p=0.9, top_k=40, seed=3, logprobs=3, repetition_penalty=1.2,
        presence_penalty=0.1,
    )  # fmt: skip
    found = []
    for base in (own, far):
        engine = Engine(base, (), None, ROOM)
        request = replace(request_of(base, None, most=12), sampling=how)
        done = engine.generate([request])[0]
        scores = engine.score([request_of(base, None)], [(70, 71, 2), (80, 2), (70, 2)])[0]
        found.append((done, scores))
        engine.close()
    (here, scored), (there, again) = found
    assert here.ids == there.ids
    assert scored.log_probs == pytest.approx(again.log_probs, abs=1e-3)
    for one, two in zip(here.chosen, there.chosen, strict=True):
        assert one.log_prob == pytest.approx(two.log_prob, abs=1e-3)


def test_16_bits_agree_with_the_cpu(moved):
    """bf16: first choices alike but for ties, logits to its 8 bits."""
    base = tiny_base("qwen2")
    own = replace(base, model=copy.deepcopy(base.model).bfloat16())
    own = replace(own, anatomy=dissect(own.model))
    far = moved(replace(own, model=copy.deepcopy(own.model)))
    adapters = {str(i): make_adapter(base, CONFIGS["lora"], Scope.PROMPT, seed=i) for i in range(3)}
    probes = [Probe(one, adapters.__getitem__, ROOM) for one in (own, far)]
    for probe in probes:
        together(probe, *(named(base, name, name) for name in adapters))
    for name in adapters:
        here, there = (probe.logits[name][0].float().cpu() for probe in probes)
        assert_close(here, there, rtol=0.02, atol=0.08)
    for probe in probes:
        probe.close()
