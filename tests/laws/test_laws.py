"""The design's laws over every registered method x scope, in float32 on the CPU.

Each first proves that the adapter makes a difference, then that what should agree agrees.
"""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from transformers import DynamicCache

from laws.cases import ANSWER, CONFIGS, TURNS, VARIANTS, make_adapter, request_of, segments_of
from pretune.adapters.files import load_adapter, save_adapter
from pretune.adapters.merge import merge
from pretune.core.errors import AdapterError
from pretune.core.records import TokenExample
from pretune.core.scope import Scope
from pretune.core.segments import Role, Turn
from pretune.data.batches import collate
from pretune.engine.forward import routing_of, target_logits

TOLERANCE = {"rtol": 1e-4, "atol": 2e-5}
"""Float32 with other orders of summation; an adapter's effect here is about 1."""


def kv(cache: DynamicCache) -> Tensor:
    """All keys and values of one row, ``(2, layers, heads, T, head_dim)``."""
    return torch.stack(
        [torch.stack([layer.keys[0], layer.values[0]]) for layer in cache.layers], dim=1
    )


def differs(a: Tensor, b: Tensor) -> bool:
    return float((a - b).abs().max()) > 0.05


def new_cache(base) -> DynamicCache:
    return DynamicCache(config=base.model.config)


def test_law_1_decode_is_the_base(base, adapter, set_up):
    reference = set_up(a=adapter).reference
    tuned, plain = request_of(base, "a"), request_of(base, None)
    cache, base_cache = new_cache(base), new_cache(base)
    reference.prefill(tuned, cache)
    reference.prefill(plain, base_cache)
    own = adapter.config.virtual_tokens
    assert differs(kv(cache)[:, :, :, own:], kv(base_cache)), "the adapter writes no other cache"
    if adapter.scope is Scope.ALL:
        same = copy.deepcopy(cache)
        assert differs(reference.step(tuned, 70, cache), reference.step(plain, 70, same))
        return
    same = copy.deepcopy(cache)
    with torch.no_grad():
        expected = base.model(torch.tensor([[70]]), past_key_values=same).logits[0, -1]
    assert torch.equal(reference.step(tuned, 70, cache), expected)
    assert torch.equal(kv(cache), kv(same))


def test_law_2_train_is_serve(base, adapter, set_up):
    setup = set_up(a=adapter)
    segments = segments_of(base, *TURNS, ANSWER)
    longer = segments_of(base, *TURNS, Turn(Role.TARGET, "It is 4% a year."))
    examples = [TokenExample("x:1", segments), TokenExample("x:2", longer)]
    mounted = setup.injection["a"]
    batch = collate(examples, mounted.scope, mounted.method.config.virtual_tokens, pad_id=0)
    with torch.no_grad(), setup.injection.routed(routing_of(batch, mounted)):
        trained = target_logits(setup.injection, batch)
    for row, example in enumerate(examples):
        target = [t for s in example.segments if s.role is Role.TARGET for t in s.ids]
        assert trained.ids[trained.rows == row].tolist() == target
        request = replace(request_of(base, "a"), segments=example.prompt)
        served = setup.reference.target_logits(request, target)
        plain = setup.reference.target_logits(replace(request, adapter=None), target)
        assert differs(served, plain)
        assert_close(trained.logits[trained.rows == row], served, **TOLERANCE)


def test_law_3_mixed_is_alone(base, adapter, set_up):
    others = {
        "lora": make_adapter(base, CONFIGS["lora"], Scope.SUFFIX, seed=1),
        "everywhere": make_adapter(base, CONFIGS["lora"], Scope.ALL, seed=2),
        "soft": make_adapter(base, CONFIGS["prompt_tuning"], Scope.PROMPT, seed=3),
    }
    setup = set_up(a=adapter, **others)
    long = (*TURNS[:2], Turn(Role.USER, "Which rate is it that I am to pay?"))
    requests = [
        request_of(base, "a"),
        request_of(base, None),
        *(request_of(base, name, *long) for name in others),
        request_of(base, "a", *long),
    ]
    prefilled = setup.engine.prefill(requests)
    for row, request in enumerate(requests):
        cache = new_cache(base)
        logits = setup.reference.prefill(request, cache)[-1]
        assert_close(prefilled.logits[row], logits, **TOLERANCE)
        length = cache.get_seq_length()
        for mixed, alone in zip(prefilled.cache.layers, cache.layers, strict=True):
            assert_close(mixed.keys[row, :, -length:], alone.keys[0], **TOLERANCE)
            assert_close(mixed.values[row, :, -length:], alone.values[0], **TOLERANCE)
    alone = setup.reference.prefill(requests[0], new_cache(base))[-1]
    assert differs(alone, setup.reference.prefill(requests[1], new_cache(base))[-1])
    assert setup.engine.generate(requests) == [setup.reference.generate(r) for r in requests]


def test_law_3_scores_in_a_mixed_batch(base, adapter, set_up):
    setup = set_up(a=adapter)
    options = [(70, 71, 2), (70, 72, 73, 2), (80, 2), (70, 2)]
    requests = [request_of(base, "a"), request_of(base, None, *TURNS[1:])]
    scores = setup.engine.score(requests, options)
    assert differs(torch.tensor(scores[0].log_probs), torch.tensor(scores[1].log_probs))
    for request, found in zip(requests, scores, strict=True):
        for option, score in zip(options, found.log_probs, strict=True):
            logits = setup.reference.target_logits(request, option)
            log_probs = logits.log_softmax(-1)[range(len(option)), list(option)]
            assert score == pytest.approx(float(log_probs.sum()), abs=1e-3)


def test_law_4_chunked_is_whole(base, adapter, set_up):
    reference = set_up(a=adapter).reference
    request = request_of(base, "a")
    whole, pieces = new_cache(base), new_cache(base)
    logits = reference.prefill(request, whole)[-1]
    length = len(reference.layout(request))
    for stop in (1, 3, length // 2, length - 1, length):  # one-token pieces at both ends
        last = reference.prefill(request, pieces, stop)[-1]
    assert_close(kv(pieces), kv(whole), **TOLERANCE)
    assert_close(last, logits, **TOLERANCE)


def test_law_7_turn_two_is_replay(base, adapter, set_up):
    reference = set_up(a=adapter).reference
    first, answer = request_of(base, "a"), segments_of(base, *TURNS, ANSWER)[-2:]
    cache = new_cache(base)
    reference.prefill(first, cache)
    for token in [token for segment in answer for token in segment.ids]:
        reference.step(first, token, cache)
    turns = (*TURNS, Turn(Role.ASSISTANT, ANSWER.text), Turn(Role.USER, "Since when?"))
    second = request_of(base, "a", *turns)
    whole = new_cache(base)
    replayed = reference.prefill(second, whole)[-1]
    continued = reference.prefill(second, cache)[-1]
    plain = reference.prefill(replace(second, adapter=None), new_cache(base))[-1]
    assert differs(replayed, plain)
    assert_close(kv(cache), kv(whole), **TOLERANCE)
    assert_close(continued, replayed, **TOLERANCE)


def test_law_8_saved_is_loaded(base, adapter, set_up, tmp_path):
    loaded = load_adapter(save_adapter(adapter, tmp_path))
    assert loaded.digest == adapter.digest
    assert loaded.config == adapter.config
    assert loaded.scope is adapter.scope
    reference = set_up(a=adapter, b=loaded).reference
    caches = [new_cache(base), new_cache(base)]
    for name, cache in zip("ab", caches, strict=True):
        reference.prefill(request_of(base, name), cache)
    assert torch.equal(kv(caches[0]), kv(caches[1]))


def test_law_9_merged_is_unmerged(base, adapter, set_up):
    if not (adapter.method.mergeable and adapter.scope is Scope.ALL):
        with pytest.raises(AdapterError, match="cannot be merged"):
            merge(base, adapter)
        return
    reference = set_up(a=adapter).reference
    tuned = reference.target_logits(request_of(base, "a"), (70, 71, 72))
    plain = reference.target_logits(request_of(base, None), (70, 71, 72))
    merged = set_up(merge(base, adapter)).reference
    assert differs(tuned, plain)
    assert_close(merged.target_logits(request_of(base, None), (70, 71, 72)), tuned, **TOLERANCE)
    assert_close(reference.target_logits(request_of(base, None), (70, 71, 72)), plain)


def test_every_registered_method_is_here():
    from pretune.spec.methods import METHODS

    assert {CONFIGS[name].name for name, _ in VARIANTS} == set(METHODS)
