"""A PEFT folder made by an enemy: an adapter, or an error of ours that names what is wrong."""

import json
import struct
from contextlib import suppress
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from laws.cases import make_adapter
from pretune.adapters.files import load_adapter, save_adapter
from pretune.adapters.peft_format import export_peft, import_peft
from pretune.adapters.peft_format.files import CONFIG, WEIGHTS
from pretune.bases.fakes import tiny_base
from pretune.core.errors import AdapterError, PretuneError
from pretune.core.scope import Scope
from pretune.spec.methods import DoraConfig, LoraConfig, PrefixTuningConfig, PromptTuningConfig

BASE = tiny_base()
METHODS = {
    "lora": LoraConfig(rank=1, sites=("v",)),
    "dora": DoraConfig(rank=1, sites=("v",)),
    "prefix_tuning": PrefixTuningConfig(length=1, start="zero"),
    "prompt_tuning": PromptTuningConfig(length=1, start="random"),
}
READ = [
    *("peft_type", "r", "lora_alpha", "use_dora", "use_rslora", "rank_pattern", "alpha_pattern"),
    *("init_lora_weights", "bias", "modules_to_save", "lora_bias", "num_virtual_tokens"),
    *("num_transformer_submodules", "pretune_scope", "peft_version", "base_model_name_or_path"),
]
"""Keys of the config that decide something here, or are kept."""

any_folder = settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Each method's config and weights, as exported."""

    @cache
    def made(name: str) -> tuple[dict[str, Any], bytes]:
        adapter = make_adapter(BASE, METHODS[name], Scope.PROMPT)
        folder = tmp_path_factory.mktemp(name) / "out"
        export_peft(adapter, BASE, folder, as_all_tokens=True)
        return json.loads((folder / CONFIG).read_text()), (folder / WEIGHTS).read_bytes()

    return made


def holds(folder, config: bytes, raw: bytes) -> None:
    """Importing them gives an adapter that can be saved, or an error of ours."""
    (folder / CONFIG).write_bytes(config)
    (folder / WEIGHTS).write_bytes(raw)
    with suppress(PretuneError):
        adapter = import_peft(folder, BASE, Scope.PROMPT)
        assert load_adapter(save_adapter(adapter, folder)).digest == adapter.digest


texts = st.text(max_size=6) | st.sampled_from(["\ud800", "LORA", "PROMPT_TUNING", "all", "none"])
numbers = st.integers() | st.floats() | st.sampled_from([0, 1, -1, 2.5, 10**400, True])
values = st.recursive(
    st.none() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)


@any_folder
@given(
    name=st.sampled_from(list(METHODS)),
    changed=st.dictionaries(st.sampled_from(READ), values, min_size=1, max_size=3),
)
def test_any_config(good, tmp_path, name, changed):
    config, raw = good(name)
    holds(tmp_path, json.dumps(config | changed).encode(), raw)


@any_folder
@given(data=st.data())
def test_any_header(good, tmp_path, data):
    config, raw = good(data.draw(st.sampled_from(list(METHODS))))
    (length,) = struct.unpack("<Q", raw[:8])
    header, body = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    fields = {
        "dtype": st.sampled_from(["F32", "F16", "I64", "BOOL", "F8_E4M3", "F4", "C64", "X", 1]),
        "shape": st.lists(st.sampled_from([0, 1, 16, 32, 2**31, 2**63, -1]), max_size=3),
        "data_offsets": st.tuples(*[st.sampled_from([0, 64, 128, 2**40, 2**63, -1])] * 2),
    }
    for _ in range(data.draw(st.integers(1, 2))):
        key = data.draw(st.sampled_from([*sorted(header), "", "x", "__metadata__"]))
        if key in header and data.draw(st.booleans()):
            field = data.draw(st.sampled_from(sorted(fields)))
            header[key] = {**dict(header[key] or {}), field: data.draw(fields[field])}
        else:
            header[key] = data.draw(st.fixed_dictionaries(fields) | values)
    text = json.dumps(header).encode()
    off = data.draw(st.sampled_from([0, 0, 0, -1, 1, 2**62]))
    holds(tmp_path, json.dumps(config).encode(), struct.pack("<Q", len(text) + off) + text + body)


@pytest.mark.parametrize(
    ("name", "keys", "words"),
    [
        ("lora", {"rank_pattern": [1]}, r'"rank_pattern": \[1\], expected values by name'),
        ("lora", {"alpha_pattern": "x"}, '"alpha_pattern": "x", expected values by name'),
        ("lora", {"r": 2.5}, '"rank": Input should be a valid integer'),
        ("lora", {"r": 10**400}, '"rank": '),
        ("lora", {"lora_alpha": 10**400}, '"alpha": '),
        ("lora", {"lora_alpha": float("inf")}, '"lora_alpha": Infinity, expected a number'),
        ("lora", {"lora_alpha": float("nan")}, '"lora_alpha": NaN, expected a number'),
        ("lora", {"use_dora": "no"}, '"use_dora": "no", expected true or false'),
        ("dora", {"use_rslora": 1}, '"use_rslora": 1, expected true or false'),
        ("dora", {"use_rslora": True, "r": -1}, '"rank": Input should be greater than'),
        ("dora", {"use_rslora": True, "r": 10**400}, '"rank": '),
        ("dora", {"use_rslora": True, "r": 4, "lora_alpha": 1e308}, '"alpha": .* finite number'),
        ("lora", {"peft_type": ["LORA"]}, r'"peft_type": \["LORA"\], expected a text'),
        ("lora", {"pretune_scope": 1}, '"pretune_scope": 1, expected a text'),
        ("lora", {"base_model_name_or_path": "\ud800"}, "ud800.*expected a text"),
        ("lora", {"bias": "x" * 10**5}, r'"bias": "x{79}\.\.\., which'),
        ("prefix_tuning", {"num_virtual_tokens": "1"}, '"1", expected a number'),
    ],
)
def test_values_of_another_kind_are_named(good, tmp_path, name, keys, words):
    config, raw = good(name)
    (tmp_path / CONFIG).write_text(json.dumps(config | keys))
    (tmp_path / WEIGHTS).write_bytes(raw)
    with pytest.raises(AdapterError, match=words):
        import_peft(tmp_path, BASE, Scope.PROMPT)


@pytest.mark.parametrize(
    "config", [b"", b"null", b'"x"', b"\xff", b"[" * 10**5, b'{"r":' * 10**5, b"NaN"]
)
def test_configs_that_are_none(good, tmp_path, config):
    (tmp_path / CONFIG).write_bytes(config)
    (tmp_path / WEIGHTS).write_bytes(good("lora")[1])
    with pytest.raises(AdapterError, match=r"is no (valid JSON|JSON object).*; copy it again"):
        import_peft(tmp_path, BASE, Scope.PROMPT)


def test_a_value_that_can_just_be_read(good, tmp_path):
    """A reader and a writer of JSON give up at depths of their own."""
    (tmp_path / WEIGHTS).write_bytes(good("lora")[1])
    for depth in range(800, 1000):
        (tmp_path / CONFIG).write_text('{"peft_type": ' + "[" * depth + "]" * depth + "}")
        with pytest.raises(AdapterError):
            import_peft(tmp_path, BASE, Scope.PROMPT)


@pytest.mark.parametrize("dtype", ["F4", "F6_E2M3", "F8_E8M0", "C64", "I64", "BOOL"])
def test_weights_that_are_no_floats(good, tmp_path, dtype):
    bits = {"F4": 4, "F6_E2M3": 6, "F8_E8M0": 8, "C64": 64, "I64": 64, "BOOL": 8}[dtype]
    header = {"x": {"dtype": dtype, "shape": [192 * 8 // bits], "data_offsets": [0, 192]}}
    text = json.dumps(header).encode()
    (tmp_path / CONFIG).write_text(json.dumps(good("lora")[0]))
    (tmp_path / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + bytes(192))
    with pytest.raises(AdapterError, match=r"is damaged: .*; copy it again"):
        import_peft(tmp_path, BASE, Scope.PROMPT)


def test_one_weight_under_two_names(good, tmp_path):
    config, raw = good("lora")
    tensors = load(raw)
    name = next(iter(tensors))
    (tmp_path / CONFIG).write_text(json.dumps(config))
    (tmp_path / WEIGHTS).write_bytes(save(tensors | {f"{name}.weight": tensors[name] + 1}))
    with pytest.raises(AdapterError, match=rf'"{name}.weight".*twice'):
        import_peft(tmp_path, BASE, Scope.PROMPT)
