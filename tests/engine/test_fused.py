"""Fused steps: used where nothing acts but at linear layers, and equal to the base's own code in
logits and in what it writes."""

import copy
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from laws.cases import CONFIGS, TURNS, make_adapter, request_of
from laws.probe import SMALL, Probe
from pretune.bases import Base
from pretune.bases.anatomy import dissect
from pretune.bases.fakes import tiny_base
from pretune.core.records import Completion, Request
from pretune.core.scope import Scope
from pretune.core.segments import Role, Turn
from pretune.engine import fused
from pretune.engine.fused import FusedBlocks, fused_blocks

MOST = 9
WINDOW = 30
MIXED = {"sliding_window": WINDOW, "use_sliding_window": True, "max_window_layers": 1}
"""Qwen: the first layer sees all, the second a window."""

HOSTS: dict[str, tuple[str, dict[str, object]]] = {
    "llama": ("llama", {}),
    "llama-biased": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama-one-head": ("llama", {"num_key_value_heads": 1}),
    "llama-far": (
        "llama",
        {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
    ),
    "qwen2": ("qwen2", {}),
    "qwen2-window": ("qwen2", MIXED),
    "qwen3": ("qwen3", {}),
    "qwen3-window": ("qwen3", MIXED),
    "mistral": ("mistral", {}),
    "mistral-window": ("mistral", {"sliding_window": WINDOW}),
}
LONG = (*TURNS[:2], Turn(Role.USER, "Which rate is it that I am to pay?"))


def noisy(base: Base) -> Base:
    """Biases and gains start as zero and one, which hides whether anybody reads them."""
    generator = torch.Generator().manual_seed(1)
    for parameter in base.model.parameters():
        if parameter.dim() == 1:
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return base


@pytest.fixture(scope="module", params=HOSTS)
def host(request: pytest.FixtureRequest) -> Base:
    family, changes = HOSTS[request.param]
    return noisy(tiny_base(family, **changes))


def requests_of(base: Base, *adapters: str | None) -> list[Request]:
    prompts = (TURNS, LONG, TURNS[2:])
    named = zip(prompts, adapters or (None,) * 3, strict=True)
    made = [request_of(base, adapter, *turns, most=MOST) for turns, adapter in named]
    return [replace(one, id=str(i)) for i, one in enumerate(made)]


class Spied(Probe):
    """Counts the steps that ran fused; ``fused=False`` leaves all to the model's own code."""

    def __init__(self, *args, fused: bool = True, **options) -> None:
        super().__init__(*args, **options)
        self.fused = 0
        self._whole = self._runner._fused
        assert self._whole is not None
        self._runner._fused = self if fused else None

    @property
    def hooks(self) -> int:
        return self._whole.hooks

    @property
    def head(self):
        return self._whole.head

    def __call__(self, *args) -> torch.Tensor:
        self.fused += 1
        return self._whole(*args)


def together(probe: Probe, *requests: Request) -> dict[str, Completion]:
    """Run ``requests`` with every adapter there from the start, so that all decode in step."""
    names = {request.adapter for request in requests} - {None}
    while probe._slots.resident < len(names):
        for name in names:
            probe._slots.ready(name)
    return probe.finish(*requests)


def same(found: Probe, expected: Probe, **tolerance: float) -> None:
    assert found.logits.keys() == expected.logits.keys()
    for name, logits in expected.logits.items():
        assert_close(torch.stack(found.logits[name]), torch.stack(logits), **tolerance)
        assert_close(found.kv[name], expected.kv[name], **tolerance)


@pytest.mark.parametrize(
    ("method", "names"),
    [
        (None, (None, None, None)),
        ("lora", ("a", None, "b")),
        ("dora", (None, "a", "a")),  # by length, the base's row stands between the two
    ],
)
def test_fused_is_the_models_own_code(host, method, names):
    """With adapters of scope ``all`` beside the base's rows as well."""
    adapters = {
        name: make_adapter(host, CONFIGS[method], Scope.ALL, seed)
        for seed, name in enumerate(names)
        if name is not None
    }
    probe = Spied(host, adapters.__getitem__)
    plain = Spied(host, adapters.__getitem__, fused=False)
    requests = requests_of(host, *names)
    done, expected = together(probe, *requests), together(plain, *requests)
    assert (probe.fused, plain.fused) == (len(probe.pieces), 0)
    assert [done[r.id].ids for r in requests] == [expected[r.id].ids for r in requests]
    same(probe, plain, rtol=1e-5, atol=1e-5)
    probe.close()
    plain.close()


@pytest.mark.parametrize("room", [2**40, 0, None])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [
        (torch.float32, {"rtol": 1e-5, "atol": 1e-5}),
        (torch.bfloat16, {"rtol": 0.02, "atol": 0.06}),
    ],
)
def test_fused_packed_and_plain(host, dtype, tolerance, room, monkeypatch):
    """Packed, or plain where memory has no room for a second copy."""
    monkeypatch.setattr(fused, "room_on", lambda _device: room)
    model = copy.deepcopy(host.model).to(dtype)
    base = replace(host, model=model, anatomy=dissect(model))
    probe, plain = Spied(base), Spied(base, fused=False)
    requests = [replace(r, max_new_tokens=2) for r in requests_of(base)]
    probe.finish(*requests)
    plain.finish(*requests)
    assert probe.fused == len(probe.pieces)
    linears = [probe._whole._head, probe._whole._blocks[0].qkv]
    assert all((linear.packed is not None) == bool(room) for linear in linears)
    same(probe, plain, **tolerance)


def test_fused_weights_are_the_bases_own(host):
    """One copy of the weights, whoever fuses them and how often; changed together."""
    first, again = fused_blocks(host), fused_blocks(host)
    for one, two, block in zip(
        first._blocks, again._blocks, host.model.base_model.layers, strict=True
    ):
        assert one.qkv.weight.data_ptr() == two.qkv.weight.data_ptr()
        assert one.gate_up.weight.data_ptr() == two.gate_up.weight.data_ptr()
        values = block.self_attn.v_proj.weight
        assert one.qkv.weight.data_ptr() < values.data_ptr()
        before = values[0, 0].item()
        values[0, 0] = 7.0
        assert 7.0 in one.qkv.weight[:, 0]
        values[0, 0] = before


@pytest.mark.parametrize(
    ("names", "fused"),
    [
        (("prompt", "soft", "ffn-prompt"), True),
        (("prompt", "everywhere", "soft"), True),
        (("prompt", "ffn-everywhere", "soft"), False),
    ],
)
def test_fused_but_for_what_acts_elsewhere_than_at_linear_layers(names, fused):
    base = tiny_base()
    adapters = {
        "prompt": make_adapter(base, CONFIGS["lora"], Scope.PROMPT),
        "soft": make_adapter(base, CONFIGS["prompt_tuning"], Scope.PROMPT),
        "everywhere": make_adapter(base, CONFIGS["lora"], Scope.ALL),
        "ffn-prompt": make_adapter(base, CONFIGS["bottleneck"], Scope.PROMPT),
        "ffn-everywhere": make_adapter(base, CONFIGS["bottleneck"], Scope.ALL),
    }
    probe = Spied(base, adapters.__getitem__)
    together(probe, *requests_of(base, *names))
    decoding = [all(p.start >= p.sequence.prompt for p in pieces) for pieces in probe.pieces]
    assert sum(decoding) > 4
    if fused:
        assert probe.fused >= sum(decoding), "and pieces of a prompt may be of one token"
    else:
        assert probe.fused == 0
    probe.close()


def test_pieces_of_prompts_and_options_are_fused(host):
    """Prompts in pieces beside tokens of answers, and options scored after a prompt."""
    size = SMALL._replace(tokens=24)
    probe, plain = Spied(host, size=size), Spied(host, size=size, fused=False)
    first, second, third = requests_of(host)
    scores = []
    for one in (probe, plain):
        one.submit(third, [[5, 6, 7], [5, 8], [9]])
        one.submit(first)
        one.submit(second)
        while one.busy:
            scores += [output.scores for output in one.step() if output.scores is not None]
    assert (probe.fused, plain.fused) == (len(probe.pieces), 0)
    starts = [piece.start for pieces in probe.pieces for piece in pieces if len(piece) > 1]
    assert 0 < starts.count(0) < len(starts), "some pieces go on with a prompt"
    same(probe, plain, rtol=1e-5, atol=1e-5)
    found, expected = (torch.tensor(one.log_probs) for one in scores)
    assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_hook_of_somebody_else_is_heard():
    base = tiny_base()
    probe = Spied(base)
    calls = []
    handle = base.model.base_model.layers[0].mlp.register_forward_hook(lambda *_: calls.append(1))
    first, second, _ = requests_of(base)
    probe.finish(first)
    assert (probe.fused, len(calls)) == (0, MOST)
    handle.remove()
    probe.finish(second)
    assert probe.fused == MOST
    assert len(calls) == MOST


class Linear(torch.nn.Linear):
    """Of the same use and name, and of another kind, as PEFT's are."""


def _other_linear(base: Base) -> None:
    linear = base.model.base_model.layers[1].mlp.down_proj
    other = Linear(linear.in_features, linear.out_features, bias=False)
    base.model.base_model.layers[1].mlp.down_proj = other


def _wrapped(base: Base) -> None:
    mlp = base.model.base_model.layers[0].mlp
    mlp.forward = mlp.forward


def _more(base: Base) -> None:
    base.model.base_model.layers[0].extra = torch.nn.LayerNorm(2)


@pytest.mark.parametrize("change", [_other_linear, _wrapped, _more])
def test_what_is_not_exactly_known_is_left_to_its_own_code(change):
    base = tiny_base()
    assert isinstance(fused_blocks(base), FusedBlocks)
    change(base)
    base = replace(base, anatomy=dissect(base.model))
    assert fused_blocks(base) is None


@pytest.mark.parametrize(
    "family", ["gemma", "gemma2", "gemma3_text", "phi", "phi3", "gpt2", "gpt_neox"]
)
def test_other_families_are_left_to_their_own_code(family):
    assert fused_blocks(tiny_base(family)) is None
