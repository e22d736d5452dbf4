"""PEFT's format against PEFT itself: the same logits, both ways."""

import copy
import json
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from laws.cases import CONFIGS, TURNS, make_adapter, segments_of
from pretune.adapters.injection import NO_SLOT, Injection, Routing
from pretune.adapters.peft_format import export_peft, import_peft
from pretune.bases.fakes import tiny_base
from pretune.core.errors import AdapterError, ScopeError, StorageError, UnknownName
from pretune.core.scope import Scope, lay_out
from pretune.spec.methods import DoraConfig, LoraConfig, PrefixTuningConfig, PromptTuningConfig

CLOSE = {"rtol": 1e-4, "atol": 1e-4}

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # peft's import reads names that transformers deprecates
    import peft

LOW_RANK = {
    "lora": LoraConfig(rank=3),
    "lora-rs": LoraConfig(rank=3, rslora=True, sites=("q", "v", "down")),
    "dora": DoraConfig(rank=3),
}
VIRTUAL = {
    "prefix_tuning": PrefixTuningConfig(length=4, start="zero"),
    "prompt_tuning": PromptTuningConfig(length=4, start="random"),
}
ROTARY = ["llama", "qwen2", "gemma", "gemma2", "phi", "phi3", "gpt_neox", "mistral"]
NO_WARNINGS_OF_PEFT = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
pytestmark = NO_WARNINGS_OF_PEFT


def ids_of(base) -> torch.Tensor:
    return torch.tensor([[t for s in segments_of(base, *TURNS) for t in s.ids]])


def ours(base, adapter) -> torch.Tensor:
    """Logits of the real tokens of the prompt, ``(T, vocabulary)``."""
    injection = Injection(base)
    mounted = injection.mount("a", adapter)
    layout = lay_out(segments_of(base, *TURNS), adapter.scope, mounted.method.config.virtual_tokens)
    slots = torch.tensor([[mounted.slot if routed else NO_SLOT for routed in layout.routed]])
    with torch.no_grad(), injection.routed(Routing(slots, torch.tensor([layout.virtual]))):
        logits = base.model(torch.tensor([layout.ids])).logits[0]
    injection.unmount("a")
    return logits[mounted.method.config.virtual_tokens :]


def theirs(base, model) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        return model(ids_of(base)).logits[0][-ids_of(base).shape[1] :]


def plain(base) -> torch.Tensor:
    with torch.no_grad():
        return base.model(ids_of(base)).logits[0]


def trained_by_peft(base, config, folder):
    """What training with PEFT might leave: its own start, moved by noise, saved by PEFT."""
    model = peft.get_peft_model(copy.deepcopy(base.model), config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    model.save_pretrained(folder)
    return model


def check_both_ways(base, adapter, folder):
    export_peft(adapter, base, folder)
    model = peft.PeftModel.from_pretrained(copy.deepcopy(base.model), folder)
    expected = theirs(base, model)
    assert float((expected - plain(base)).abs().max()) > 0.05
    assert_close(ours(base, adapter), expected, **CLOSE)
    again = import_peft(folder, base, adapter.scope)
    assert_close(ours(base, again), expected, **CLOSE)
    return again


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2", "phi3", "gpt_neox"])
@pytest.mark.parametrize("name", LOW_RANK)
def test_low_rank_out_and_back(family, name, tmp_path):
    base = tiny_base(family)
    adapter = make_adapter(base, LOW_RANK[name], Scope.ALL)
    again = check_both_ways(base, adapter, tmp_path / "out")
    roles = {s.part for s in again.method.sites(base.anatomy)}
    assert roles == {s.part for s in adapter.method.sites(base.anatomy)}
    if family in ("llama", "qwen2"):
        assert again.digest == adapter.digest


@pytest.mark.parametrize("family", [*ROTARY, "gpt2"])
def test_prefix_out_and_back(family, tmp_path):
    base = tiny_base(family)
    adapter = make_adapter(base, VIRTUAL["prefix_tuning"], Scope.PROMPT)
    again = check_both_ways(base, adapter, tmp_path / "out")
    for name, value in adapter.weights.items():
        site = next(s for s in base.anatomy.linears if f"{s.name}.prefix" == name)
        for columns in base.anatomy.kv_columns(site):
            if columns is not None:
                assert_close(again.weights[name][:, columns], value[:, columns])


@pytest.mark.parametrize("scaling", [{"rope_type": "yarn", "factor": 4.0}])
def test_prefix_with_scaled_rotation(scaling, tmp_path):
    parameters = scaling | {"rope_theta": 10000.0}
    base = tiny_base("llama", rope_parameters=parameters, max_position_embeddings=2048)
    cos, sin = base.model.model.rotary_emb(torch.zeros(1), torch.arange(2)[None])
    assert float((cos**2 + sin**2).max()) > 1.1, "this rotation should scale too"
    adapter = make_adapter(base, VIRTUAL["prefix_tuning"], Scope.PROMPT)
    again = check_both_ways(base, adapter, tmp_path / "out")
    for name, value in adapter.weights.items():
        assert_close(again.weights[name], value)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma", "gemma2"])
def test_prompt_out_and_back(family, tmp_path):
    base = tiny_base(family)
    adapter = make_adapter(base, VIRTUAL["prompt_tuning"], Scope.PROMPT)
    again = check_both_ways(base, adapter, tmp_path / "out")
    assert again.digest == adapter.digest


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("llama", {"target_modules": ["q_proj", "v_proj"], "use_rslora": True}),
        ("llama", {"target_modules": "all-linear", "use_dora": True, "use_rslora": True}),
        ("gpt2", {"target_modules": ["c_attn"], "fan_in_fan_out": True}),
        ("gpt2", {"target_modules": ["c_attn", "c_proj"], "use_dora": True}),
        ("qwen2", {"target_modules": ["k_proj", "o_proj"], "lora_dropout": 0.5}),
        ("llama", {"target_modules": ["q_proj"], "rank_pattern": {"layers.1.self_attn.q_proj": 3}}),
    ],
)
def test_low_rank_of_peft(family, options, tmp_path):
    base = tiny_base(family)
    config = peft.LoraConfig(r=3, lora_alpha=5, task_type="CAUSAL_LM", **options)
    model = trained_by_peft(base, config, tmp_path)
    adapter = import_peft(tmp_path, base, Scope.ALL)
    expected = theirs(base, model)
    assert float((expected - plain(base)).abs().max()) > 0.05
    assert_close(ours(base, adapter), expected, **CLOSE)
    assert adapter.notes["imported"] == "peft"


@pytest.mark.parametrize("projection", [False, True])
@pytest.mark.parametrize("family", ["llama", "gpt2", "phi"])
def test_prefix_of_peft(family, projection, tmp_path):
    base = tiny_base(family)
    config = peft.PrefixTuningConfig(
        num_virtual_tokens=4,
        task_type="CAUSAL_LM",
        prefix_projection=projection,
        encoder_hidden_size=8,
    )
    model = trained_by_peft(base, config, tmp_path)
    adapter = import_peft(tmp_path, base, Scope.PROMPT)
    expected = theirs(base, model)
    assert float((expected - plain(base)).abs().max()) > 0.05
    assert_close(ours(base, adapter), expected, **CLOSE)


@pytest.fixture
def peft_folder(tmp_path):
    """A LoRA of PEFT's, and a way to change its config."""
    base = tiny_base()
    config = peft.LoraConfig(r=3, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    trained_by_peft(base, config, tmp_path)

    def changed(**keys):
        path = tmp_path / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | keys))
        return tmp_path

    return base, changed


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"alora_invocation_tokens": [1]}, '"alora_invocation_tokens": .1.*searching token ids'),
        ({"modules_to_save": ["lm_head"]}, '"modules_to_save".*replaces whole modules'),
        ({"lora_bias": True}, '"lora_bias": true.*biases'),
        ({"bias": "all"}, '"bias": "all".*biases of the base'),
        ({"trainable_token_indices": [5]}, '"trainable_token_indices".*rows of the embedding'),
        ({"layer_replication": [[0, 1]]}, "repeats layers"),
        ({"rank_pattern": {"q_proj": 4}}, '"rank_pattern" with another value for "q_proj"'),
        ({"alpha_pattern": {"v_proj": 4}}, '"alpha_pattern" with another value for "v_proj"'),
        ({"init_lora_weights": "pissa_niter_4"}, 'started from "pissa_niter_4"'),
        ({"init_lora_weights": "OLoRA"}, 'started from "OLoRA"'),
        ({"lora_alpha": "big"}, '"lora_alpha": "big", expected a number'),
        ({"lora_alpha": 0}, '"alpha": Input should be greater than 0, not 0'),
        ({"r": 4}, r'"layers.0.\w.[AB]" has shape .*3.*, expected .*4'),
        ({"pretune_scope": "suffix"}, 'trained with scope "suffix", not "prompt"'),
    ],
)
def test_options_without_an_equal_are_refused(peft_folder, keys, words):
    base, changed = peft_folder
    with pytest.raises(AdapterError, match=words):
        import_peft(changed(**keys), base, Scope.PROMPT)


def test_unknown_method_lists_the_known(peft_folder):
    base, changed = peft_folder
    with pytest.raises(UnknownName, match=r'"LOHA".*LORA, PREFIX_TUNING, PROMPT_TUNING'):
        import_peft(changed(peft_type="LOHA"), base, Scope.ALL)


def test_layers_left_out_are_named(tmp_path):
    base = tiny_base()
    config = peft.LoraConfig(r=3, target_modules=["q_proj"], layers_to_transform=[1])
    trained_by_peft(base, config, tmp_path)
    with pytest.raises(AdapterError, match=r'leaves out "layers\.0\.q"'):
        import_peft(tmp_path, base, Scope.ALL)


def test_layers_that_do_not_exist_are_named(tmp_path):
    llama, gpt2 = tiny_base(), tiny_base("gpt2")
    trained_by_peft(llama, peft.LoraConfig(r=3, target_modules=["q_proj"]), tmp_path)
    with pytest.raises(AdapterError, match=r"q_proj.*matches no layer.*c_attn, c_fc, c_proj"):
        import_peft(tmp_path, gpt2, Scope.ALL)


def test_head_is_no_layer_to_adapt(tmp_path):
    base = tiny_base()
    trained_by_peft(base, peft.LoraConfig(r=3, target_modules=["lm_head"]), tmp_path)
    with pytest.raises(AdapterError, match=r"lm_head.*matches no layer"):
        import_peft(tmp_path, base, Scope.ALL)


def test_untrained_is_refused(tmp_path):
    base = tiny_base()
    model = peft.get_peft_model(
        copy.deepcopy(base.model), peft.LoraConfig(target_modules=["q_proj"])
    )
    model.save_pretrained(tmp_path)
    with pytest.raises(AdapterError, match=r"has no effect"):
        import_peft(tmp_path, base, Scope.ALL)


def test_pickled_weights_are_refused(peft_folder):
    base, changed = peft_folder
    folder = changed()
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(AdapterError, match=r"adapter_model\.bin.*pickle.*convert it"):
        import_peft(folder, base, Scope.ALL)


def test_damaged_files_are_refused(peft_folder, tmp_path):
    base, changed = peft_folder
    folder = changed()
    weights, config = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    raw = weights.read_bytes()
    weights.write_bytes(raw[:-10])
    with pytest.raises(AdapterError, match=r"adapter_model.safetensors.*damaged"):
        import_peft(folder, base, Scope.ALL)
    weights.unlink()
    with pytest.raises(AdapterError, match=r"no adapter_model\.safetensors"):
        import_peft(folder, base, Scope.ALL)
    config.write_text("{")
    with pytest.raises(AdapterError, match=r"adapter_config\.json.*no valid JSON"):
        import_peft(folder, base, Scope.ALL)
    config.write_text("[]")
    with pytest.raises(AdapterError, match=r"no JSON object"):
        import_peft(folder, base, Scope.ALL)
    with pytest.raises(AdapterError, match=r'no PEFT adapter at ".*nowhere"'):
        import_peft(tmp_path / "nowhere", base, Scope.ALL)


@pytest.mark.parametrize("scope", [Scope.SUFFIX, Scope.ALL])
def test_virtual_tokens_have_scope_prompt(scope, tmp_path):
    base = tiny_base()
    for config in VIRTUAL.values():
        adapter = make_adapter(base, config, Scope.PROMPT)
        export_peft(adapter, base, tmp_path)
        with pytest.raises(ScopeError, match=f'scope "prompt".*not "{scope}"'):
            import_peft(tmp_path, base, scope)
    suffix = make_adapter(base, config, Scope.SUFFIX)
    with pytest.raises(ScopeError, match=r'not "suffix"'):
        export_peft(suffix, base, tmp_path)


@pytest.mark.parametrize("family", ["qwen3", "gemma3_text"])
def test_normed_keys_are_refused(family, tmp_path):
    base = tiny_base(family)
    adapter = make_adapter(base, VIRTUAL["prefix_tuning"], Scope.PROMPT)
    with pytest.raises(AdapterError, match=r"norms its keys"):
        export_peft(adapter, base, tmp_path)
    trained_by_peft(
        base, peft.PrefixTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM"), tmp_path
    )
    with pytest.raises(AdapterError, match=r"norms its keys"):
        import_peft(tmp_path, base, Scope.PROMPT)


def test_rotation_by_length_is_refused(tmp_path):
    parameters = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    base = tiny_base(rope_parameters=parameters)
    adapter = make_adapter(base, VIRTUAL["prefix_tuning"], Scope.PROMPT)
    with pytest.raises(AdapterError, match=r'type "dynamic"'):
        export_peft(adapter, base, tmp_path)


def test_misfit_prefix_is_refused(tmp_path):
    small, large = tiny_base(), tiny_base(num_hidden_layers=3)
    export_peft(make_adapter(small, VIRTUAL["prefix_tuning"], Scope.PROMPT), small, tmp_path)
    with pytest.raises(AdapterError, match=r"has 64 values a virtual token, .* takes 96"):
        import_peft(tmp_path, large, Scope.PROMPT)
    weights = tmp_path / "adapter_model.safetensors"
    tensors = load_file(weights)
    save_file({"prompt_embeddings": tensors["prompt_embeddings"][:2].clone()}, weights)
    with pytest.raises(AdapterError, match=r"one row a virtual token"):
        import_peft(tmp_path, small, Scope.PROMPT)
    save_file(tensors | {"more": torch.ones(2)}, weights)
    with pytest.raises(AdapterError, match=r'"more".*not one of this method'):
        import_peft(tmp_path, small, Scope.PROMPT)


@pytest.mark.parametrize("length", [0, 5000])
@pytest.mark.parametrize("name", VIRTUAL)
def test_more_virtual_tokens_than_a_method_can_have_are_refused(name, length, tmp_path):
    base = tiny_base()
    export_peft(make_adapter(base, VIRTUAL[name], Scope.PROMPT), base, tmp_path)
    weights, config = tmp_path / "adapter_model.safetensors", tmp_path / "adapter_config.json"
    (values,) = load_file(weights).values()
    save_file({"prompt_embeddings": torch.ones(length, values.shape[1])}, weights)
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_virtual_tokens": length}))
    with pytest.raises(AdapterError, match=f'"length": Input should be .*, not {length}'):
        import_peft(tmp_path, base, Scope.PROMPT)


@pytest.mark.parametrize("scope", [Scope.PROMPT, Scope.SUFFIX])
@pytest.mark.parametrize("name", LOW_RANK)
def test_narrow_scope_leaves_only_on_demand(scope, name, tmp_path):
    base = tiny_base()
    adapter = make_adapter(base, LOW_RANK[name], scope)
    with pytest.raises(AdapterError, match=f'scope "{scope}".*generated ones too.*as_all_tokens'):
        export_peft(adapter, base, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    export_peft(adapter, base, tmp_path / "out", as_all_tokens=True)
    with pytest.warns(UserWarning, match=r"pretune_scope"):
        peft.PeftModel.from_pretrained(copy.deepcopy(base.model), tmp_path / "out")
    with pytest.raises(AdapterError, match=f'trained with scope "{scope}", not "all"'):
        import_peft(tmp_path / "out", base, Scope.ALL)
    assert import_peft(tmp_path / "out", base, scope).digest == adapter.digest


@pytest.mark.parametrize("name", ["bottleneck", "mam", "direft", "full"])
def test_methods_that_peft_lacks_are_named(name, tmp_path):
    base = tiny_base()
    adapter = make_adapter(base, CONFIGS[name], Scope.ALL)
    with pytest.raises(AdapterError, match=f'"{name}" has no equal.*lora, dora, prefix_tuning'):
        export_peft(adapter, base, tmp_path)


def test_full_disk_leaves_nothing(tmp_path, monkeypatch):
    base = tiny_base()
    adapter = make_adapter(base, LOW_RANK["lora"], Scope.ALL)

    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(StorageError, match=r"No space left"):
        export_peft(adapter, base, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
