"""General text after the adapter's prompts, against the base."""

import math

import pytest
import torch

from laws.cases import CONFIGS, make_adapter
from pretune.adapters.injection import Injection
from pretune.bases.fakes import tiny_base
from pretune.core.scope import Scope
from pretune.core.segments import Role, Turn
from pretune.gating.forgetting import forgetting
from pretune.gating.texts import general_passages


@pytest.fixture(scope="module")
def base():
    return tiny_base(max_position_embeddings=1024)


def measured(base, config, scope):
    injection = Injection(base)
    mounted = injection.mount("it", make_adapter(base, config, scope, seed=0))
    return forgetting(injection, base.renderer, mounted)


@torch.no_grad()
def plain_perplexity(base) -> float:
    """The same by the model's own loss, a passage at a time."""
    nats, tokens = 0.0, 0
    for one in general_passages():
        ask = "Go on with this text." if one.language == "en" else "请接着写下去。"
        turns = [Turn(Role.CONTEXT, one.head), Turn(Role.USER, ask)]
        turns.append(Turn(Role.TARGET, one.tail.strip()))
        segments = base.renderer.encode(base.renderer.render(turns))
        ids = [i for s in segments for i in s.ids]
        labels = [i if s.role.written_by_model else -100 for s in segments for i in s.ids]
        count = sum(label >= 0 for label in labels)
        loss = base.model(torch.tensor([ids]), labels=torch.tensor([labels])).loss
        nats, tokens = nats + float(loss) * count, tokens + count
    return math.exp(nats / tokens)


def test_the_bases_perplexity_is_the_models_own(base):
    found = measured(base, CONFIGS["lora"], Scope.PROMPT)
    assert found.base == pytest.approx(plain_perplexity(base), rel=1e-4)


@pytest.mark.parametrize("scope", list(Scope))
def test_an_adapter_makes_a_difference_at_every_scope(base, scope):
    found = measured(base, CONFIGS["lora"], scope)
    assert found.ratio.value == pytest.approx(found.adapter / found.base)
    assert abs(found.ratio.value - 1) > 1e-3
    assert found.ratio.low <= found.ratio.value <= found.ratio.high
    assert found.ratio.of == "passages"


def test_virtual_tokens_too(base):
    found = measured(base, CONFIGS["prefix_tuning"], Scope.PROMPT)
    assert abs(found.ratio.value - 1) > 1e-3
