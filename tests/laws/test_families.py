"""The laws of serving on every supported family, with windows shorter than the prompt included."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from laws.cases import ANSWER, CONFIGS, TURNS, make_adapter, request_of, segments_of
from laws.probe import SMALL, Probe
from laws.test_laws import TOLERANCE, differs, new_cache
from pretune.adapters.injection import Injection
from pretune.adapters.tunable import tuning
from pretune.bases import Base
from pretune.bases.fakes import FAMILIES, tiny_base
from pretune.core.records import TokenExample
from pretune.core.scope import Scope
from pretune.core.segments import Role, Turn
from pretune.data.batches import collate
from pretune.engine.forward import routing_of, target_logits

WINDOW = 30
"""Shorter than the long prompts, yet two layers of it reach back to the virtual tokens."""

_MIXED = {"sliding_window": WINDOW, "use_sliding_window": True, "max_window_layers": 1}
"""Qwen: the first layer sees all, the second a window."""

HOSTS: dict[str, tuple[str, dict[str, object]]] = {
    **{family: (family, {}) for family in FAMILIES},
    "phi-normed": ("phi", {"qk_layernorm": True}),
    "mistral-window": ("mistral", {"sliding_window": WINDOW}),
    "phi3-window": ("phi3", {"sliding_window": WINDOW}),
    "qwen2-window": ("qwen2", _MIXED),
    "qwen3-window": ("qwen3", _MIXED),
    "gemma2-window": ("gemma2", {"sliding_window": WINDOW}),
    "gemma3-window": ("gemma3_text", {"sliding_window": WINDOW}),
}

METHODS = ("lora", "dora", "bottleneck", "direft", "prefix_tuning", "prompt_tuning", "full")


@pytest.fixture(scope="module", params=HOSTS)
def family_base(request: pytest.FixtureRequest) -> Base:
    family, changes = HOSTS[request.param]
    return tiny_base(family, **changes)


@pytest.fixture(params=METHODS)
def family_adapter(request: pytest.FixtureRequest, family_base: Base):
    scope = Scope.ALL if request.param == "full" else Scope.PROMPT
    return make_adapter(family_base, CONFIGS[request.param], scope)


def test_train_is_serve(family_base, family_adapter, set_up):
    setup = set_up(family_base, a=family_adapter)
    examples = [
        TokenExample("x:1", segments_of(family_base, *TURNS, ANSWER)),
        TokenExample("x:2", segments_of(family_base, TURNS[2], Turn(Role.TARGET, "Four a year."))),
    ]
    mounted = setup.injection["a"]
    batch = collate(examples, mounted.scope, mounted.method.config.virtual_tokens, pad_id=0)
    with torch.no_grad(), setup.injection.routed(routing_of(batch, mounted)):
        trained = target_logits(setup.injection, batch)
    for row, example in enumerate(examples):
        target = [t for s in example.segments if s.role is Role.TARGET for t in s.ids]
        request = replace(request_of(family_base, "a"), segments=example.prompt)
        served = setup.reference.target_logits(request, target)
        assert differs(
            served, setup.reference.target_logits(replace(request, adapter=None), target)
        )
        assert_close(trained.logits[trained.rows == row], served, **TOLERANCE)


def test_mixed_is_alone(family_base, family_adapter, set_up):
    other = make_adapter(family_base, CONFIGS["lora"], Scope.ALL, seed=1)
    setup = set_up(family_base, a=family_adapter, b=other)
    requests = [
        request_of(family_base, "a", *TURNS[2:]),
        request_of(family_base, None, *TURNS[1:]),
        request_of(family_base, "b", most=12),
    ]
    prefilled = setup.engine.prefill(requests)
    for row, request in enumerate(requests):
        alone = setup.reference.prefill(request, new_cache(family_base))[-1]
        assert_close(prefilled.logits[row], alone, **TOLERANCE)
    tuned = setup.reference.prefill(requests[0], new_cache(family_base))[-1]
    plain = replace(requests[0], adapter=None)
    assert differs(tuned, setup.reference.prefill(plain, new_cache(family_base))[-1])
    assert setup.engine.generate(requests) == [setup.reference.generate(r) for r in requests]


def test_served_is_the_reference(family_base, set_up):
    """The serving engine: blocks, pieces of prompts, decode with and without adapters."""
    adapters = {
        "a": make_adapter(family_base, CONFIGS["lora"], Scope.PROMPT),
        "b": make_adapter(family_base, CONFIGS["bottleneck"], Scope.ALL, seed=1),
    }
    reference = set_up(family_base, **adapters).reference
    for names in (("a", None), ("a", "b", None)):
        probe = Probe(family_base, adapters.__getitem__, SMALL._replace(tokens=24))
        requests = [
            replace(request_of(family_base, name, *TURNS[i:], most=12), id=str(i))
            for i, name in enumerate(names)
        ]
        done = probe.finish(*requests)
        for request in requests:  # a cache with a window forgets, so logits are what to compare
            cache = new_cache(family_base)
            logits = [reference.prefill(request, cache)[-1]]
            logits += [reference.step(request, one, cache) for one in done[request.id].ids[:-1]]
            found = torch.stack(probe.logits[request.id])
            assert_close(found[: len(logits)], torch.stack(logits), **TOLERANCE)
        probe.close()


def test_scores_in_a_mixed_batch(family_base, set_up):
    adapter = make_adapter(family_base, CONFIGS["prompt_tuning"], Scope.PROMPT)
    setup = set_up(family_base, a=adapter)
    options = [(70, 71, 2), (70, 72, 73, 74, 2), (80, 2)]
    requests = [request_of(family_base, "a", *TURNS[2:]), request_of(family_base, None)]
    scores = setup.engine.score(requests, options)
    assert differs(torch.tensor(scores[0].log_probs), torch.tensor(scores[1].log_probs))
    for request, found in zip(requests, scores, strict=True):
        for option, score in zip(options, found.log_probs, strict=True):
            logits = setup.reference.target_logits(request, option)
            log_probs = logits.log_softmax(-1)[range(len(option)), list(option)]
            assert score == pytest.approx(float(log_probs.sum()), abs=1e-3)


@pytest.mark.parametrize("name", ["prefix_tuning", "prefix_tuning-projected", "prompt_tuning"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_gradients_survive_checkpointing(name, family):
    """Virtual tokens live in hooks, so recomputing a block in the backward pass finds them."""
    no_dropout = {"resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0} if family == "gpt2" else {}
    base = tiny_base(family, **no_dropout)
    examples = [
        TokenExample("x:1", segments_of(base, *TURNS, ANSWER)),
        TokenExample("x:2", segments_of(base, TURNS[2], ANSWER)),
    ]

    runs: list[int] = []

    def gradients() -> dict[str, torch.Tensor]:
        injection = Injection(base)
        with tuning(injection, CONFIGS[name], Scope.PROMPT, text="Say it.") as tunable:
            length = tunable.config.virtual_tokens
            batch = collate(examples, Scope.PROMPT, length, pad_id=0)
            runs.clear()
            with injection.routed(routing_of(batch, tunable.mounted)):
                targets = target_logits(injection, batch)
                torch.nn.functional.cross_entropy(targets.logits, targets.ids).backward()
            return {key: value.grad for key, value in tunable.parameters.items()}

    ffn = base.anatomy.ffns[0].module
    counter = ffn.register_forward_pre_hook(lambda *_: runs.append(1))
    plain = gradients()
    assert len(runs) == 1
    base.model.train()
    base.model.activation_checkpointing_enable({"use_reentrant": False})
    saved = gradients()
    counter.remove()
    assert len(runs) == 2, "the backward pass runs each block again"
    moved = [key for key, value in plain.items() if value is not None and value.any()]
    assert moved
    for key, value in plain.items():
        assert_close(saved[key], value, rtol=1e-5, atol=1e-7)
