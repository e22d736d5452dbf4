"""On a device that is not the CPU: nothing mixes devices, and a step reads no number back.

The device is ``meta``: it computes nothing, so it can give no number, and an operation on tensors
of two devices is refused here as CUDA would refuse it. What the engine keeps on the CPU is real.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from laws.cases import CONFIGS, TURNS, VARIANTS, make_adapter, request_of
from laws.probe import SMALL, Probe
from pretune.bases import Base
from pretune.bases.anatomy import dissect
from pretune.bases.blank import blank_model
from pretune.bases.fakes import FAMILIES, tiny_base
from pretune.core.records import Chosen
from pretune.core.scope import Scope
from pretune.core.segments import Role, Turn
from pretune.engine.graphs import DecodeGraphs
from pretune.engine.runner import Ran

_MOVES = ("_to_copy", "copy_")
"""Operations that are there to go from one device to another."""


class OneDevice(TorchDispatchMode):
    """Refuses operations on tensors of two devices, but for a single number of the CPU."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        devices = {
            one.device.type
            for one in tree_leaves((args, kwargs))
            if isinstance(one, Tensor) and (one.dim() or one.device.type != "cpu")
        }
        moves = func.overloadpacket.__name__ in _MOVES
        assert moves or len(devices) <= 1, f"{func} mixes {devices}"
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def one_device() -> Iterator[None]:
    with OneDevice():
        yield


def blank(base: Base) -> Base:
    """``base`` on a device without numbers."""
    model = blank_model(base.model.config, "fp32")
    return replace(base, model=model, anatomy=dissect(model))


class Blind(Probe):
    """Chooses without looking."""

    def __init__(self, base, load=None, size=SMALL, *, fused=True, graphs=False) -> None:
        super().__init__(base, load, size)
        runner = self._runner
        if not fused:
            runner._fused = None
        if graphs:
            runner.graphs = DecodeGraphs(self._memory, runner._decode, lambda run: run)


@pytest.fixture(autouse=True)
def blind(monkeypatch) -> None:
    def choose(logits: Tensor, sequences):
        assert logits.device.type == "meta"
        return [Chosen(70, 0.0)] * len(sequences)

    monkeypatch.setattr("pretune.engine.engine.choose", choose)


def test_the_check_can_fail():
    with pytest.raises(AssertionError, match="mixes"):
        torch.zeros(3, device="meta").index_select(0, torch.zeros(2, dtype=torch.long))
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.zeros(3, device="meta").sum().item()


@pytest.mark.parametrize(("name", "scope"), VARIANTS)
def test_every_method_runs_on_one_device(name, scope):
    real = tiny_base()
    adapters = {
        "a": make_adapter(real, CONFIGS[name], scope),
        "b": make_adapter(real, CONFIGS[name], scope, seed=1),
        "lora": make_adapter(real, CONFIGS["lora"], Scope.ALL),
    }
    probe = Blind(blank(real), adapters.__getitem__, SMALL._replace(tokens=40))
    long = (*TURNS, Turn(Role.USER, "Which rate is it that I am to pay?"))
    requests = [
        replace(request_of(real, adapter, *turns), id=f"{adapter} {len(turns)}")
        for turns in (TURNS, long)
        for adapter in ("a", "b", "lora", None)
    ]
    done = probe.finish(*requests)
    assert all(len(one.ids) == 5 for one in done.values())
    probe.close()


@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_runs_on_one_device(family, fused, graphs):
    """And what a graph would hold reads nothing back: a base that did would fail here."""
    real = tiny_base(family, pad_token_id=None)
    probe = Blind(blank(real), fused=fused, graphs=graphs)
    requests = [replace(request_of(real, None), id=str(i)) for i in range(3)]
    done = probe.finish(*requests)
    assert all(len(one.ids) == 5 for one in done.values())
    assert (probe.stats().graphs > 0) == graphs


GROWING = {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}


@pytest.mark.parametrize(("family", "changes"), [("llama", GROWING), ("gpt2", {})])
def test_known_bases_that_read_back(family, changes):
    """Rotary tables that grow with the longest sequence; GPT-2 looks whether its input is padded,
    where it has a token for that. Their decode is not captured."""
    probe = Blind(blank(tiny_base(family, **changes)), graphs=True)
    probe.submit(request_of(tiny_base(), None))
    with pytest.raises((RuntimeError, NotImplementedError)):
        probe.step()


def test_scores_stay_on_one_device():
    real = tiny_base()
    adapter = make_adapter(real, CONFIGS["lora"], Scope.PROMPT)
    probe = Blind(blank(real), {"a": adapter}.__getitem__)
    seen: list[Ran] = []
    run = probe._runner.run
    probe._runner.run = lambda pieces: seen.append(run(pieces)) or seen[-1]
    request = request_of(real, "a")
    with pytest.raises((RuntimeError, NotImplementedError)):  # the scores themselves are read
        probe.score([request], [(70, 71, 2), (70, 2)])
    assert [len(ran.logits) for ran in seen] == [3]
