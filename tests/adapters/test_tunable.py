"""What training sees of a method, and what it leaves behind."""

import pytest
import torch

from laws.cases import CONFIGS
from pretune.adapters.injection import Injection
from pretune.adapters.tunable import TUNED, tuning
from pretune.bases.fakes import tiny_base
from pretune.core.errors import AdapterError, ScopeError
from pretune.core.scope import Scope
from pretune.spec.methods import FullConfig, LoraConfig, PrefixTuningConfig


@pytest.fixture
def base():
    return tiny_base()


def moved(tunable) -> None:
    with torch.no_grad():
        for parameter in tunable.parameters.values():
            parameter += 0.1


def test_full_gives_the_base_back(base):
    before = {name: value.clone() for name, value in base.model.state_dict().items()}
    with tuning(Injection(base), FullConfig(), Scope.ALL) as tunable:
        assert all(parameter.requires_grad for parameter in base.model.parameters())
        base.model(torch.tensor([[5, 6]])).logits.sum().backward()
        moved(tunable)
        adapter = tunable.adapter()
        assert not torch.equal(base.model.state_dict()["lm_head.weight"], before["lm_head.weight"])
    for name, value in base.model.state_dict().items():
        assert torch.equal(value, before[name]), name
    for parameter in base.model.parameters():
        assert not parameter.requires_grad
        assert parameter.grad is None
    assert adapter.parameters == base.parameters
    adapter.by_site(base)


def test_full_counts_a_tied_head_once():
    base = tiny_base(tie_word_embeddings=True)
    with tuning(Injection(base), FullConfig(), Scope.ALL) as tunable:
        assert sum(p.numel() for p in tunable.parameters.values()) == base.parameters
        moved(tunable)
        weights = tunable.adapter().weights
    assert "leaf.lm_head.weight" not in weights


def test_base_is_given_back_on_any_end(base):
    before = base.model.lm_head.weight.clone()
    injection = Injection(base)

    def interrupted() -> None:
        with tuning(injection, FullConfig(), Scope.ALL) as tunable:
            moved(tunable)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert torch.equal(base.model.lm_head.weight, before)
    with pytest.raises(KeyboardInterrupt), tuning(injection, LoraConfig(), Scope.ALL):
        raise KeyboardInterrupt
    assert not any(module._forward_hooks for module in base.model.modules())
    with tuning(injection, LoraConfig(), Scope.ALL):
        assert injection[TUNED].slot == 0


def test_frozen_base_stays_frozen(base):
    with tuning(Injection(base), LoraConfig(), Scope.PROMPT) as tunable:
        assert all(parameter.requires_grad for parameter in tunable.parameters.values())
        assert not any(parameter.requires_grad for parameter in base.model.parameters())


def test_lora_plus_groups_b_apart(base):
    config = LoraConfig(b_rate_ratio=16)
    with tuning(Injection(base), config, Scope.ALL) as tunable:
        slow, fast = tunable.groups(rate=0.5, decay=0.1)
        assert (slow["lr"], fast["lr"]) == (0.5, 8.0)
        assert slow["weight_decay"] == fast["weight_decay"] == 0.1
        names = {id(value): name for name, value in tunable.parameters.items()}
        assert {names[id(p)][-1] for p in slow["params"]} == {"A"}
        assert {names[id(p)][-1] for p in fast["params"]} == {"B"}
        assert len(slow["params"]) + len(fast["params"]) == len(tunable.parameters)
    with tuning(Injection(base), LoraConfig(), Scope.ALL) as tunable:
        assert len(tunable.groups(0.5, 0.0)) == 1


@pytest.mark.parametrize("name", CONFIGS)
def test_state_is_a_copy_that_loads(base, name):
    def start():
        return tuning(Injection(base), CONFIGS[name], Scope(scope), text="Say it.", seed=3)

    scope = "all" if name == "full" else "prompt"
    with start() as tunable:
        first = tunable.state()
        moved(tunable)
        second = tunable.state()
        digest = tunable.adapter().digest
    assert any(not torch.equal(first[key], second[key]) for key in first)
    with start() as tunable:
        assert all(torch.equal(first[key], value) for key, value in tunable.state().items())
        tunable.load(second)
        assert tunable.adapter().digest == digest


def test_adapter_does_not_change_with_training(base):
    with tuning(Injection(base), LoraConfig(), Scope.ALL) as tunable:
        moved(tunable)
        adapter = tunable.adapter(task="rates")
        kept = {name: value.clone() for name, value in adapter.weights.items()}
        moved(tunable)
    assert all(torch.equal(adapter.weights[name], value) for name, value in kept.items())
    assert adapter.notes == {"task": "rates"}


def test_projection_is_not_saved(base):
    config = PrefixTuningConfig(length=4, start="zero", projection=8)
    with tuning(Injection(base), config, Scope.PROMPT) as tunable:
        moved(tunable)
        adapter = tunable.adapter()
    assert {name.rpartition(".")[2] for name in adapter.weights} == {"prefix"}
    adapter.by_site(base)


def test_senseless_scope_is_refused(base):
    with (
        pytest.raises(ScopeError, match=r'"full" refuses scope "prompt"'),
        tuning(Injection(base), FullConfig(), Scope.PROMPT),
    ):
        pass


def test_method_without_a_place_is_refused():
    base = tiny_base("gpt2")
    with (
        pytest.raises(AdapterError, match=r'"lora" matches no part of base "tiny-gpt2".*are down'),
        tuning(Injection(base), LoraConfig(sites=("gate",)), Scope.ALL),
    ):
        pass
    assert not any(module._forward_hooks for module in base.model.modules())
