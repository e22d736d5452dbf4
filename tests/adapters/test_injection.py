"""Mounting, routing and leaving nothing behind."""

import pytest
import torch
from torch.testing import assert_close

from laws.cases import CONFIGS, TURNS, make_adapter, segments_of
from pretune.adapters.injection import NO_SLOT, Injection, Routing
from pretune.bases.fakes import tiny_base
from pretune.core.errors import AdapterError, UnknownName
from pretune.core.scope import Scope


@pytest.fixture(scope="module")
def base():
    return tiny_base()


@pytest.fixture
def injection(base):
    return Injection(base)


def adapter_of(base, name="lora", seed=0):
    return make_adapter(base, CONFIGS[name], Scope.ALL, seed)


def ids_of(base) -> torch.Tensor:
    return torch.tensor([[t for s in segments_of(base, *TURNS) for t in s.ids]])


def everywhere(base, slot: int) -> Routing:
    ids = ids_of(base)
    return Routing(torch.full(ids.shape, slot), torch.full(ids.shape, -1))


def logits(base) -> torch.Tensor:
    with torch.no_grad():
        return base.model(ids_of(base)).logits[0]


def hooks(base) -> int:
    return sum(len(module._forward_hooks) for module in base.model.modules())


@pytest.mark.parametrize("name", CONFIGS)
def test_unmounted_leaves_no_hook(base, injection, name):
    injection.mount("a", make_adapter(base, CONFIGS[name], Scope.ALL))
    assert hooks(base) > 0
    injection.unmount("a")
    assert hooks(base) == 0


def test_hooks_stay_while_one_is_mounted(base, injection):
    plain = logits(base)
    first, second = adapter_of(base), adapter_of(base, seed=1)
    slots = [injection.mount(n, a).slot for n, a in {"a": first, "b": second}.items()]
    assert slots == [0, 1]
    with injection.routed(everywhere(base, 1)):
        expected = logits(base)
    injection.unmount("a")
    with injection.routed(everywhere(base, 1)):
        assert torch.equal(logits(base), expected)
    assert injection.mount("c", first).slot == 0, "a freed slot is used again"
    for name in "bc":
        injection.unmount(name)
    assert torch.equal(logits(base), plain)
    assert not torch.equal(expected, plain)


def test_without_routing_the_base_is_untouched(base, injection):
    plain = logits(base)
    slot = injection.mount("a", adapter_of(base)).slot
    assert torch.equal(logits(base), plain)
    with injection.routed(everywhere(base, NO_SLOT)):
        assert torch.equal(logits(base), plain)
    with injection.routed(everywhere(base, slot)):
        assert not torch.equal(logits(base), plain)
    assert torch.equal(logits(base), plain)
    injection.unmount("a")


def test_taken_and_unknown_names(base, injection):
    injection.mount("a", adapter_of(base))
    with pytest.raises(AdapterError, match=r'already mounted as "a"; unmount it first'):
        injection.mount("a", adapter_of(base, seed=1))
    with pytest.raises(UnknownName, match=r'unknown adapter "b".* known: a'):
        injection.unmount("b")
    with pytest.raises(UnknownName, match=r'unknown adapter "b".* known: a'):
        injection["b"]
    injection.unmount("a")


def test_refused_adapter_is_not_mounted(base, injection):
    other = tiny_base(seed=1)
    with pytest.raises(AdapterError, match=r"was trained on base"):
        injection.mount("a", adapter_of(other))
    assert hooks(base) == 0
    with pytest.raises(UnknownName):
        injection["a"]


def test_routing_nests_and_ends_with_an_error(base, injection):
    plain = logits(base)
    for name, seed in (("a", 0), ("b", 1)):
        injection.mount(name, adapter_of(base, seed=seed))
    with injection.routed(everywhere(base, 0)):
        outer = logits(base)
        with injection.routed(everywhere(base, 1)):
            inner = logits(base)
        assert torch.equal(logits(base), outer)
        with pytest.raises(KeyboardInterrupt), injection.routed(everywhere(base, 1)):
            raise KeyboardInterrupt
        assert torch.equal(logits(base), outer)
    assert torch.equal(logits(base), plain)
    assert not torch.equal(outer, inner)
    for name in "ab":
        injection.unmount(name)


def test_error_in_a_method_leaves_the_routing(base, injection, monkeypatch):
    mounted = injection.mount("a", adapter_of(base))

    def fails(*_args):
        raise KeyboardInterrupt

    with injection.routed(everywhere(base, mounted.slot)):
        expected = logits(base)
        with monkeypatch.context() as patch:
            patch.setattr(mounted.method, "edit", fails)
            with pytest.raises(KeyboardInterrupt):
                logits(base)
        assert torch.equal(logits(base), expected)
    injection.unmount("a")


def test_narrowed_routes_the_rows_that_are_left(base, injection):
    """The head of a full adapter acts on its own rows among those picked."""
    mounted = injection.mount("a", adapter_of(base, "full"))
    routing = everywhere(base, mounted.slot)
    routing.slots[:, ::2] = NO_SLOT
    hidden = torch.randn(ids_of(base).shape[1], base.anatomy.hidden)
    index = torch.tensor([4, 1, 0])
    plain = base.head(hidden[index])
    with torch.no_grad(), injection.routed(routing):
        whole = base.head(hidden)[index]
        with injection.narrowed(index):
            assert_close(base.head(hidden[index]), whole)
    assert_close(whole[[0, 2]], plain[[0, 2]])
    assert float((whole[1] - plain[1]).abs().max()) > 0.05
    with injection.narrowed(index):
        assert torch.equal(base.head(hidden[index]), plain), "no routing, nothing to narrow"
    injection.unmount("a")


def test_at_the_head_nothing_is_made_of_adapters_that_do_not_act_there(base, injection):
    """A step of many tasks would look for the rows of each."""
    mounted = injection.mount("a", adapter_of(base, "lora"))
    with torch.no_grad(), injection.routed(everywhere(base, mounted.slot)):
        assert injection.acts
        with injection.narrowed(torch.tensor([1])):
            assert not injection.acts
        assert injection.acts
    injection.unmount("a")
