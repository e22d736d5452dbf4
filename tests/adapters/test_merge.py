"""Merging and the matrices it acts on."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from transformers.pytorch_utils import Conv1D

from laws.cases import CONFIGS, make_adapter
from pretune.adapters.matrices import bias_of, is_quantized, matrix_of, set_matrix
from pretune.adapters.merge import check_mergeable, merge
from pretune.bases.fakes import tiny_base
from pretune.bases.quantized import keep_layout
from pretune.core.errors import AdapterError
from pretune.core.scope import Scope
from pretune.spec.methods import LoraConfig


def four_bit() -> nn.Module:
    """A layer whose matrix is made of values that 4 bits hold nearly."""
    from bitsandbytes.nn import Linear4bit

    layer = Linear4bit(64, 32, bias=True, compute_dtype=torch.float32, quant_type="nf4")
    nn.init.normal_(layer.weight.data, std=0.2)
    return layer.to("cpu")


def conv1d() -> Conv1D:
    layer = Conv1D(6, 4)
    nn.init.normal_(layer.bias)
    return layer


@pytest.mark.parametrize("layer", [nn.Linear(4, 6), conv1d()], ids=["linear", "conv1d"])
def test_matrix_and_bias_are_what_the_layer_computes(layer):
    x = torch.randn(3, 4)
    with torch.no_grad():
        assert_close(x @ matrix_of(layer).t() + bias_of(layer), layer(x))
        other = torch.randn(6, 4)
        set_matrix(layer, other)
        assert_close(layer(x), x @ other.t() + bias_of(layer))
    assert not is_quantized(layer)


def test_layer_without_bias():
    assert bias_of(nn.Linear(4, 6, bias=False)) is None


def test_four_bit_matrix_is_dequantised():
    layer = four_bit()
    assert is_quantized(layer)
    matrix, x = matrix_of(layer), torch.randn(3, 64)
    assert matrix.shape == (32, 64)
    with torch.no_grad():
        assert_close(x @ matrix.t().float() + layer.bias, layer(x), rtol=1e-3, atol=1e-3)
    with pytest.raises(AdapterError, match=r'4-bit base cannot take a merge.*"fp32" or "bf16"'):
        set_matrix(layer, torch.zeros(32, 64))


def test_four_bit_matrix_stays_the_same_after_use():
    """bitsandbytes packs the weight in place for some CPUs at the first forward in eval mode."""
    layer = four_bit().bfloat16().eval()
    keep_layout(layer)
    before = matrix_of(layer)
    with torch.no_grad():
        layer(torch.randn(3, 64, dtype=torch.bfloat16))
    assert torch.equal(matrix_of(layer), before)


def logits(base) -> torch.Tensor:
    with torch.no_grad():
        return base.model(torch.arange(10, 30)[None]).logits[0]


@pytest.mark.parametrize("name", ["lora", "dora", "full"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "phi3"])
def test_merge_leaves_its_base(family, name):
    base = tiny_base(family)
    plain = logits(base)
    adapter = make_adapter(base, CONFIGS[name], Scope.ALL)
    merged = merge(base, adapter)
    assert torch.equal(logits(base), plain)
    assert float((logits(merged) - plain).abs().max()) > 0.05
    assert merged.digest != base.digest
    assert merged.name == f"{base.name}+{adapter.digest[:12]}"
    assert merged.anatomy.blocks[0].module is not base.anatomy.blocks[0].module


def test_merge_by_hand():
    base = tiny_base()
    adapter = make_adapter(base, LoraConfig(rank=3, alpha=6, sites=("q",)), Scope.ALL)
    merged = merge(base, adapter)
    own = base.model.model.layers[0].self_attn
    a, b = adapter.weights["layers.0.q.A"], adapter.weights["layers.0.q.B"]
    new = merged.model.model.layers[0].self_attn
    assert_close(new.q_proj.weight, own.q_proj.weight + 2 * b @ a)  # scale = 6 / 3
    assert torch.equal(new.k_proj.weight, own.k_proj.weight)


def test_merge_of_another_base_is_refused():
    adapter = make_adapter(tiny_base(), CONFIGS["lora"], Scope.ALL)
    with pytest.raises(AdapterError, match=r"was trained on base"):
        merge(tiny_base(seed=1), adapter)


@pytest.mark.parametrize("name", ["bottleneck", "mam", "direft", "prompt_tuning"])
def test_methods_that_are_no_update_are_refused(name):
    adapter = make_adapter(tiny_base(), CONFIGS[name], Scope.PROMPT)
    with pytest.raises(AdapterError, match=f'"{name}" cannot be merged: it is no update'):
        check_mergeable(adapter)


@pytest.mark.parametrize("scope", [Scope.PROMPT, Scope.SUFFIX])
def test_narrow_scopes_are_refused(scope):
    adapter = make_adapter(tiny_base(), CONFIGS["lora"], scope)
    with pytest.raises(AdapterError, match=f'scope "{scope}" cannot be merged.*generated tokens'):
        check_mergeable(adapter)
