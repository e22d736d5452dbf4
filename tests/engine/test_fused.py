"""Fused decode: used where nothing but the base acts on single tokens, and equal to the base's own
code in logits and in what it writes."""

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
from pretune.core.scope import Scope
from pretune.core.segments import Role, Turn
from pretune.engine.fused import FusedDecoder, fused_decoder

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


def requests_of(base: Base, adapter: str | None = None) -> list:
    prompts = (TURNS, LONG, TURNS[2:])
    made = [request_of(base, adapter, *turns, most=MOST) for turns in prompts]
    return [replace(one, id=str(i)) for i, one in enumerate(made)]


class Spied(Probe):
    """Counts the steps that ran fused; ``fused=False`` leaves all to the model's own code."""

    def __init__(self, *args, fused: bool = True, **options) -> None:
        super().__init__(*args, **options)
        self.fused = 0
        self._decoder = self._runner._fused
        assert self._decoder is not None
        self._runner._fused = self if fused else None

    @property
    def hooks(self) -> int:
        return self._decoder.hooks

    def __call__(self, *args) -> torch.Tensor:
        self.fused += 1
        return self._decoder(*args)


def same(found: Probe, expected: Probe, **tolerance: float) -> None:
    assert found.logits.keys() == expected.logits.keys()
    for name, logits in expected.logits.items():
        assert_close(torch.stack(found.logits[name]), torch.stack(logits), **tolerance)
        assert_close(found.kv[name], expected.kv[name], **tolerance)


def test_fused_is_the_models_own_code(host):
    probe, plain = Spied(host), Spied(host, fused=False)
    requests = requests_of(host)
    done, expected = probe.finish(*requests), plain.finish(*requests)
    assert (probe.fused, plain.fused) == (MOST - 1, 0)
    assert [done[r.id].ids for r in requests] == [expected[r.id].ids for r in requests]
    same(probe, plain, rtol=1e-5, atol=1e-5)


def test_fused_in_16_bits(host):
    model = copy.deepcopy(host.model).bfloat16()
    base = replace(host, model=model, anatomy=dissect(model))
    probe, plain = Spied(base), Spied(base, fused=False)
    requests = [replace(r, max_new_tokens=2) for r in requests_of(base)]
    probe.finish(*requests)
    plain.finish(*requests)
    assert probe.fused == 1
    same(probe, plain, rtol=0.02, atol=0.06)


def test_fused_weights_are_the_bases_own(host):
    """One copy of the weights, whoever fuses them and how often; changed together."""
    first, again = fused_decoder(host), fused_decoder(host)
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


def test_tasks_decode_fused_and_scope_all_does_not():
    base = tiny_base()
    adapters = {
        "prompt": make_adapter(base, CONFIGS["lora"], Scope.PROMPT),
        "soft": make_adapter(base, CONFIGS["prompt_tuning"], Scope.PROMPT),
        "all": make_adapter(base, CONFIGS["lora"], Scope.ALL),
    }
    for names, fused in ((("prompt", "soft", "prompt"), MOST - 1), (("prompt", "all", "soft"), 0)):
        probe = Spied(base, adapters.__getitem__)
        requests = [
            replace(request, adapter=name)
            for request, name in zip(requests_of(base), names, strict=True)
        ]
        while probe._slots.resident < len(set(names)):  # so that all start together
            for name in names:
                probe._slots.ready(name)
        probe.finish(*requests)
        assert probe.fused == fused
        probe.close()


def test_steps_with_a_piece_of_a_prompt_are_not_fused():
    base = tiny_base()
    probe = Spied(base, size=SMALL._replace(tokens=8))
    first, second, _ = requests_of(base)
    probe.submit(first)
    while not probe.fused:
        probe.step()
    probe.submit(second)
    before = probe.fused
    while len(probe.logits.get(second.id, ())) == 0:
        probe.step()
    assert probe.fused == before
    probe.step()
    assert probe.fused == before + 1


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
    assert probe.fused == MOST - 1


class Odd(torch.nn.Linear):
    """Of the same use, and of another kind."""


def _other_linear(base: Base) -> None:
    linear = base.model.base_model.layers[1].mlp.down_proj
    odd = Odd(linear.in_features, linear.out_features, bias=False)
    base.model.base_model.layers[1].mlp.down_proj = odd


def _wrapped(base: Base) -> None:
    mlp = base.model.base_model.layers[0].mlp
    mlp.forward = mlp.forward


def _more(base: Base) -> None:
    base.model.base_model.layers[0].extra = torch.nn.LayerNorm(2)


@pytest.mark.parametrize("change", [_other_linear, _wrapped, _more])
def test_what_is_not_exactly_known_is_left_to_its_own_code(change):
    base = tiny_base()
    assert isinstance(fused_decoder(base), FusedDecoder)
    change(base)
    base = replace(base, anatomy=dissect(base.model))
    assert fused_decoder(base) is None


@pytest.mark.parametrize(
    "family", ["gemma", "gemma2", "gemma3_text", "phi", "phi3", "gpt2", "gpt_neox"]
)
def test_other_families_are_left_to_their_own_code(family):
    assert fused_decoder(tiny_base(family)) is None
