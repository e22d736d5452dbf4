"""Adapters computed together are what they are alone, and copies are made and dropped in time."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from laws.cases import CONFIGS, TURNS, make_adapter, segments_of
from pretune.adapters.injection import NO_SLOT, Injection, Routing
from pretune.adapters.stacked import restacked
from pretune.bases.fakes import tiny_base
from pretune.core.scope import Scope
from pretune.spec.methods import LoraConfig

BASE = tiny_base()
IDS = torch.tensor([[t for s in segments_of(BASE, *TURNS) for t in s.ids][:20]])
LORA = CONFIGS["lora"]
NAMED = {
    "a": LORA,
    "b": LORA,
    "c": LORA,
    "wide": LoraConfig(rank=5),
    "scaled": LoraConfig(rank=3, alpha=1.0),
    "values": CONFIGS["lora-rs-qv"],
    "bottleneck": CONFIGS["bottleneck"],
}
ADAPTERS = {
    name: make_adapter(BASE, config, Scope.ALL, seed)
    for seed, (name, config) in enumerate(NAMED.items())
}
SLOTS = range(len(ADAPTERS))


@pytest.fixture
def injection():
    made = Injection(BASE)
    for name, adapter in ADAPTERS.items():
        made.mount(name, adapter)
    yield made
    for name in list(made._mounted):
        made.unmount(name)


def hidden(injection: Injection, slots: list[int]) -> torch.Tensor:
    """What the blocks make of one row of tokens under ``slots``."""
    routing = Routing(torch.tensor([slots]), torch.full((1, len(slots)), -1))
    with injection.routed(routing):
        assert not (torch.is_grad_enabled() and held(injection))
        return BASE.backbone(IDS[:, : len(slots)], use_cache=False).last_hidden_state[0]


def together(injection: Injection, slots: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return hidden(injection, slots)


def held(injection: Injection) -> list[list[int]]:
    return [list(stack.members) for stack in injection._stacks]


@settings(max_examples=60)
@given(st.lists(st.lists(st.integers(-1, len(SLOTS) - 1), min_size=1, max_size=20), max_size=4))
def test_together_is_alone(routings):
    """Step after step, whatever stacks the steps before have left. With gradients each adapter is
    computed alone."""
    injection = Injection(BASE)
    for name, adapter in ADAPTERS.items():
        injection.mount(name, adapter)
    for slots in routings:
        assert_close(together(injection, slots), hidden(injection, slots), rtol=1e-4, atol=1e-4)
    for name in ADAPTERS:
        injection.unmount(name)


def test_adapters_of_one_shape_share_a_stack(injection):
    slots = [0, 1, NO_SLOT, 2, 4, 0, 3, 5, 6]
    found = together(injection, slots)
    assert held(injection) == [[0, 1, 2, 4], [3], [5]], "the bottleneck is no low-rank update"
    assert_close(found, hidden(injection, slots), rtol=1e-4, atol=1e-4)


def test_runs_of_rows_stay_alone(injection):
    together(injection, [0] * 17 + [1, 2])
    assert held(injection) == [[1, 2]], "many rows"
    together(injection, [0] * 9 + [1] * 2 + [2] * 2)
    assert held(injection) == [[1, 2]], "many more rows than the others"
    together(injection, [NO_SLOT])
    together(injection, [0] * 8 + [1] * 2 + [2] * 2)
    assert held(injection) == [[0, 1, 2]]


def test_a_member_with_many_rows_is_not_computed_twice(injection):
    together(injection, [0, 1, 2])
    slots = [0] * 17 + [1, 2]
    found = together(injection, slots)
    assert held(injection) == [[0, 1, 2]], "still of use to two of three"
    assert_close(found, hidden(injection, slots), rtol=1e-4, atol=1e-4)


def test_no_copy_stays_for_the_base_or_for_one(injection):
    together(injection, [0, 1])
    assert injection.stacked_bytes > 0
    for slots in ([NO_SLOT, NO_SLOT], [0, NO_SLOT]):
        together(injection, [0, 1])
        together(injection, slots)
        assert injection.stacked_bytes == 0


def test_what_narrows_a_step_leaves_its_stacks(injection):
    routing = Routing(torch.tensor([[0, 1, 2]]), torch.full((1, 3), -1))
    with torch.no_grad(), injection.routed(routing):
        stacks = list(injection._stacks)
        with injection.narrowed(torch.tensor([0])):
            BASE.head(torch.zeros(1, BASE.anatomy.hidden))
        assert injection._stacks == stacks


def test_an_unmounted_adapter_leaves_no_copy_and_its_slot_is_anothers(injection):
    together(injection, [0, 1, 2])
    injection.unmount("b")
    assert held(injection) == []
    other = make_adapter(BASE, LORA, Scope.ALL, seed=99)
    assert injection.mount("new", other).slot == 1
    slots = [0, 1, 2]
    assert_close(together(injection, slots), hidden(injection, slots), rtol=1e-4, atol=1e-4)


def test_a_damaged_adapter_stays_in_its_rows(injection):
    poison = make_adapter(BASE, LORA, Scope.ALL, seed=99)
    for value in poison.weights.values():
        value.fill_(torch.nan)
    slot = injection.mount("poison", poison).slot
    with torch.no_grad():
        site = BASE.anatomy.linears[-1].module
        routing = Routing(torch.tensor([0, slot, 1]), torch.full((3,), -1))
        with injection.routed(routing):
            y = site(torch.ones(3, site.in_features))
    assert y[[0, 2]].isfinite().all()
    assert y[1].isnan().all()


def test_weights_in_training_are_not_copied(injection):
    for parts in injection["a"].weights.values():
        for value in parts.values():
            value.requires_grad_()
    together(injection, [0, 1, 2])
    assert held(injection) == [[1, 2]]
    for parts in injection["a"].weights.values():
        for value in parts.values():
            value.requires_grad_(False)


def test_stacks_are_kept_while_half_of_them_is_wanted(injection):
    updates = {mounted.slot: mounted.updates for mounted in injection._mounted.values()}

    def some(*slots: int) -> dict:
        return {slot: updates[slot] for slot in slots}

    first = restacked([], some(0, 1, 2, 4))
    assert restacked(first, some(0, 4)) == first
    assert restacked(first, some(0, 1, 2, 3))[0] is first[0], "one more is a stack of its own"
    fewer = restacked(first, some(0))
    assert [list(stack.members) for stack in fewer] == [[0]]
    one_by_one = [*restacked([], some(0)), *restacked([], some(1)), *restacked([], some(2))]
    scattered = [*one_by_one, *restacked([], some(3))]
    merged = restacked(scattered, some(0, 1, 2, 3, 4))
    assert [list(stack.members) for stack in merged] == [[0, 1, 2, 4], [3]]
