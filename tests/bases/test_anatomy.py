"""The parts of every family are where the table says."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from pretune.bases.anatomy import _FAMILIES, COVERS, Part, dissect
from pretune.bases.fakes import FAMILIES, tiny_base, tiny_model
from pretune.core.errors import BaseModelError
from pretune.spec.methods import ALL_SITES

IDS = torch.arange(20, 30)[None]

NO_GATE = {"phi", "gpt2", "gpt_neox"}
"""Families whose FFN has no gate."""


@pytest.fixture(scope="module", params=FAMILIES)
def family(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def base(family):
    return tiny_base(family)


def caches(base) -> list[torch.Tensor]:
    """Per layer, keys and values before and after: ``(2, heads, T, head_dim)``."""
    cache = DynamicCache(config=base.model.config)
    with torch.no_grad():
        base.backbone(IDS, past_key_values=cache, use_cache=True)
    return [torch.stack([layer.keys[0], layer.values[0]]) for layer in cache.layers]


def test_sizes(base):
    anatomy, config = base.anatomy, base.model.config
    assert (anatomy.hidden, anatomy.layers, anatomy.heads, anatomy.head_dim) == (32, 2, 4, 8)
    assert anatomy.vocabulary == config.vocab_size
    assert len(anatomy.blocks) == len(anatomy.ffns) == 2
    keys = caches(base)[0]
    assert keys.shape[1] * keys.shape[3] == anatomy.kv_width


def test_every_role_is_played_once_a_layer(base, family):
    expected = sorted(set(ALL_SITES) - ({"gate"} if family in NO_GATE else set()))
    for layer in range(2):
        sites = [site for site in base.anatomy.linears if site.layer == layer]
        assert sorted(role for site in sites for role in COVERS[site.part]) == expected
    names = [site.name for site in base.anatomy.linears]
    assert len(set(names)) == len(names)


def test_widths_are_what_the_layers_take(base):
    for site in base.anatomy.linears:
        assert site.module(torch.zeros(1, site.width_in)).shape == (1, site.width_out)
    for role in ALL_SITES:
        for site in base.anatomy.linears_for((role,)):
            assert role in COVERS[site.part]


def test_kv_columns_are_what_the_cache_holds(base):
    """Perturbed columns of the first layer show in its cache, and no others do."""
    before = caches(base)[0]
    seen = {"keys": 0, "values": 0}
    for site in base.anatomy.linears:
        if site.layer != 0 or site.part not in (Part.QUERY, Part.KEY, Part.VALUE, Part.QKV):
            continue
        keys, values = base.anatomy.kv_columns(site)
        both = {"keys": keys, "values": values}
        taken = [columns for columns in both.values() if columns is not None]
        mask = torch.ones(site.width_out, dtype=torch.bool)
        for columns in taken:
            mask[columns] = False
        both["queries"] = mask.nonzero().flatten()
        for kind, columns in both.items():
            if columns is None or not len(columns):
                continue
            noise = torch.zeros(site.width_out)
            noise[columns] = torch.randn(len(columns), generator=torch.Generator().manual_seed(0))
            handle = site.module.register_forward_hook(lambda _m, _a, y, noise=noise: y + noise)
            after = caches(base)[0]
            handle.remove()
            moved = [(after[i] - before[i]).abs().amax(dim=1) > 1e-4 for i in (0, 1)]
            assert bool(moved[0].all()) == (kind == "keys")
            assert bool(moved[0].any()) == (kind == "keys")
            assert bool(moved[1].all()) == (kind == "values")
            assert bool(moved[1].any()) == (kind == "values")
            if kind == "values":  # values carry no position: heads in the order of the columns
                added = noise[columns].view(after.shape[1], 1, after.shape[3])
                assert_close(after[1], before[1] + added, rtol=1e-4, atol=1e-4)
            seen[kind] = seen.get(kind, 0) + 1
    assert seen["keys"] == seen["values"] == 1


def test_blocks_and_ffns_take_hidden_states(base):
    shapes: list[tuple[str, torch.Size]] = []

    def note(name):
        def hook(_module, args, output):
            out = output[0] if isinstance(output, tuple) else output
            shapes.append((name, args[0].shape))
            assert out.shape == args[0].shape

        return hook

    sites = [*base.anatomy.blocks, *base.anatomy.ffns]
    handles = [site.module.register_forward_hook(note(site.name)) for site in sites]
    base.backbone(IDS, use_cache=False)
    for handle in handles:
        handle.remove()
    assert sorted(name for name, _ in shapes) == sorted(site.name for site in sites)
    assert {shape for _, shape in shapes} == {(1, 10, 32)}


def test_leaves_are_all_parameters(base):
    owned = {
        id(parameter)
        for site in base.anatomy.leaves
        for parameter in site.module.parameters(recurse=False)
    }
    assert owned == {id(parameter) for parameter in base.model.parameters()}


def test_head_is_the_model_s_own(base):
    with torch.no_grad():
        hidden = base.backbone(IDS, use_cache=False).last_hidden_state[0]
        assert_close(base.head(hidden), base.model(IDS).logits[0])


def test_final_cap_is_applied():
    base = tiny_base("gemma2", final_logit_softcapping=1.0)
    with torch.no_grad():
        hidden = base.backbone(IDS, use_cache=False).last_hidden_state[0]
        raw = base.model.lm_head(hidden)
        assert float(raw.abs().max()) > 1.5
        assert float(base.head(hidden).abs().max()) <= 1.0
        assert_close(base.head(hidden), base.model(IDS).logits[0])


def test_tied_head_has_the_embedding_s_name():
    base = tiny_base(tie_word_embeddings=True)
    names = [site.name for site in base.anatomy.leaves if "embed_tokens" in site.name]
    assert len(names) == 2
    assert "leaf.lm_head" not in {site.name for site in base.anatomy.leaves}


def test_same_names_in_a_copy(base):
    again = dissect(copy.deepcopy(base.model))
    assert [site.name for site in again.linears] == [site.name for site in base.anatomy.linears]


def test_parameters_count_a_tied_weight_once():
    apart, tied = tiny_base(), tiny_base(tie_word_embeddings=True)
    assert apart.parameters - tied.parameters == 262 * 32


def test_model_without_blocks_is_refused():
    with pytest.raises(BaseModelError, match=r'"Linear" has no decoder blocks with an FFN.*GPT-2'):
        dissect_with_config(nn.Linear(2, 2))


def test_unknown_linear_layers_list_the_known():
    model = tiny_model()
    for layer in model.model.layers:
        layer.self_attn = nn.Identity()
        layer.mlp = nn.Identity()
    with pytest.raises(BaseModelError, match=r"cannot find the linear layers.*self_attn\.q_proj"):
        dissect(model)


@pytest.mark.parametrize("family", ["cohere", "granite", "gpt_oss", "bloom", "diffllama", "olmo"])
def test_other_families_are_refused_though_their_layers_have_known_names(family):
    config = AutoConfig.for_model(family, num_hidden_layers=1)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(BaseModelError, match=f'of family "{family}", which is not .* llama, mist'):
        dissect(model)


def test_every_family_of_the_laws_is_known():
    assert set(FAMILIES) == _FAMILIES


def dissect_with_config(module: nn.Module):
    module.config = tiny_model().config
    return dissect(module)
