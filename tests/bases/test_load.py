"""Bases from a folder: whole, safe and decoder-only, or refused with the reason."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig

from pretune.bases import load_base
from pretune.bases.fakes import byte_tokenizer, tiny_model
from pretune.core.errors import BaseModelError, UnknownName

IDS = torch.arange(20, 30)[None]


def save_base(folder, family="llama", **changes):
    tiny_model(family, **changes).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of the saved base, to be damaged."""
    return shutil.copytree(saved, tmp_path / "base")


def logits(base) -> torch.Tensor:
    with torch.no_grad():
        return base.model(IDS).logits[0].float()


def test_loaded_is_saved(saved):
    base = load_base(str(saved))
    with torch.no_grad():
        expected = tiny_model()(IDS).logits[0]
    assert_close(logits(base), expected)
    assert base.precision == "fp32"
    assert base.device == torch.device("cpu")
    assert not base.model.training
    assert not any(parameter.requires_grad for parameter in base.model.parameters())
    assert base.renderer.context_length == 512


def test_digest_is_of_the_content(saved, folder, tmp_path):
    digest = load_base(str(saved)).digest
    assert load_base(str(folder)).digest == digest, "the folder's name is no part of it"
    config = folder / "config.json"
    shape = json.loads(config.read_text())
    config.write_text(json.dumps(shape | {"rms_norm_eps": 0.1}))
    assert load_base(str(folder)).digest != digest
    config.write_text(json.dumps(shape))
    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    tensors["lm_head.weight"][0, 0] += 1
    save_file(tensors, weights, metadata={"format": "pt"})
    assert load_base(str(folder)).digest != digest


def test_the_digest_outlives_what_a_later_transformers_can_say(saved, monkeypatch):
    digest, told = load_base(str(saved)).digest, LlamaConfig.to_dict
    monkeypatch.setattr(LlamaConfig, "to_dict", lambda self: {**told(self), "later": False})
    assert load_base(str(saved)).digest == digest


def test_a_context_ends_where_long_rotary_positions_begin(tmp_path):
    """As in Phi-3's of 128k: a longer sequence is turned otherwise, and all beside it."""
    rotary = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [4.0] * 4}
    save_base(tmp_path, "phi3", rope_parameters=rotary, original_max_position_embeddings=64)
    assert load_base(str(tmp_path)).renderer.context_length == 64


def test_bf16_is_near(saved):
    full, half = load_base(str(saved)), load_base(str(saved), "bf16")
    assert half.model.dtype is torch.bfloat16
    assert half.digest == full.digest
    assert_close(logits(half), logits(full), rtol=0.1, atol=0.3)
    assert not torch.equal(logits(half), logits(full))


def test_nf4_is_near(tmp_path):
    sizes = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16}
    folder = str(save_base(tmp_path, **sizes))
    full, four = load_base(folder), load_base(folder, "nf4")
    site = four.anatomy.linears[0]
    assert type(site.module).__name__ == "Linear4bit"
    assert (site.width_in, site.width_out) == (64, 64)
    assert [s.name for s in four.anatomy.linears] == [s.name for s in full.anatomy.linears]
    agreement = torch.nn.functional.cosine_similarity(logits(four), logits(full))
    assert float(agreement.min()) > 0.8


def test_unknown_precision_lists_the_known(saved):
    with pytest.raises(UnknownName, match=r'unknown precision "fp8".* known: bf16, fp32, nf4'):
        load_base(str(saved), "fp8")


@pytest.mark.parametrize("name", ["nowhere", "./nowhere/at/all", "/nowhere", "a/b/c"])
def test_missing_folder(name):
    with pytest.raises(BaseModelError, match=f'no base at "{name}"; use "embedded", a folder'):
        load_base(name)


def test_hub_name_asks_no_network(monkeypatch, tmp_path):
    def connect(*_args, **_options):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", connect)
    monkeypatch.setattr("socket.getaddrinfo", connect)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BaseModelError, match=r'"no-such/base" is not on this machine.*allow_down'):
        load_base("no-such/base")


def test_pickled_weights_are_refused(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(BaseModelError, match="has no safetensors weights"):
        load_base(str(folder))
    (folder / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(BaseModelError, match=r'pickled weights only \("pytorch_model\.bin"\).*con'):
        load_base(str(folder))


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "t5", "d_model": 32, "num_layers": 1},
        {"model_type": "vit", "hidden_size": 32},
        {"model_type": "bert", "hidden_size": 32, "architectures": ["BertForMaskedLM"]},
    ],
)
def test_other_models_are_refused(folder, config):
    (folder / "config.json").write_text(json.dumps(config))
    kind = config["model_type"]
    with pytest.raises(BaseModelError, match=f'is of type "{kind}", not a decoder-only'):
        load_base(str(folder))


def test_encoder_without_a_name_is_refused(tmp_path):
    """As BERT's bare encoder: it loads as a causal model, but its blocks are of no known family."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 262}
    config = AutoConfig.for_model("bert", **sizes, intermediate_size=64, is_decoder=True)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(BaseModelError, match=r"no decoder blocks with an FFN"):
        load_base(str(tmp_path))


def test_a_model_that_counts_no_positions_is_refused(tmp_path):
    sizes = {"hidden_size": 32, "n_layer": 1, "n_head": 4, "vocab_size": 262}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("bloom", **sizes))
    model.save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(BaseModelError, match=r'"bloom" has no positions.*use a Llama'):
        load_base(str(tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "null",
        "[" * 10**5,
        "{}",
        '{"model_type": "nonesuch"}',
        '{"model_type": ["llama"]}',
        '{"model_type": "llama", "configuration_files": 1}',
        '{"model_type": "llama", "hidden_size": "x"}',
        '{"model_type": "llama", "architectures": true}',
        '{"model_type": "llama", "architectures": [1]}',
    ],
)
def test_unreadable_config(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(BaseModelError, match=r"has no readable config\.json"):
        load_base(str(folder))


def test_a_config_that_has_no_digest_is_refused(folder):
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"mine": "\ud800"}))
    with pytest.raises(BaseModelError, match=r"has no readable config\.json"):
        load_base(str(folder))


@pytest.mark.parametrize("kept", [4, 100, -100])
def test_truncated_weights_are_refused(folder, kept):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(BaseModelError, match="cannot be loaded: "):
        load_base(str(folder))


def test_incomplete_weights_are_refused(folder):
    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    for name in ("model.layers.1.mlp.up_proj.weight", "lm_head.weight"):
        del tensors[name]
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(BaseModelError, match=r'lacks 2 weights, "lm_head.weight" first'):
        load_base(str(folder))


def test_weights_of_another_shape_are_refused(folder):
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"intermediate_size": 48}))
    with pytest.raises(BaseModelError, match=r"down_proj.weight.*\(32, 64\).*\(32, 48\)"):
        load_base(str(folder))


def test_missing_tokenizer(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(BaseModelError, match="tokenizer"):
        load_base(str(folder))


def test_code_of_the_folder_never_runs(folder, tmp_path):
    ran = tmp_path / "ran"
    (folder / "mine.py").write_text(f"open({str(ran)!r}, 'w')\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BaseModelError, match=r"has no readable config\.json"):
        load_base(str(folder))
    assert not ran.exists()
