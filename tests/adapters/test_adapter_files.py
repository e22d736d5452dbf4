"""Adapter files: whole, unchanged, of this base, or refused with the reason."""

import dataclasses
import json

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pretune
from laws.cases import CONFIGS, make_adapter
from pretune.adapters.adapter import Adapter
from pretune.adapters.files import load_adapter, manifest_of, save_adapter
from pretune.adapters.manifest import read_manifest
from pretune.bases.fakes import tiny_base
from pretune.core.errors import AdapterError, PretuneError, StorageError
from pretune.core.scope import Scope
from pretune.spec.methods import LoraConfig, PrefixTuningConfig

BASE = tiny_base()
ADAPTER = make_adapter(BASE, LoraConfig(rank=1, sites=("v",)), Scope.PROMPT)


def changed(more=(), **fields) -> Adapter:
    """ADAPTER with more weights or other fields."""
    return dataclasses.replace(ADAPTER, **({"weights": ADAPTER.weights | dict(more)} | fields))


@pytest.fixture
def folder(tmp_path):
    return save_adapter(ADAPTER, tmp_path)


def alter(folder, change) -> None:
    """Rewrite the manifest after ``change``."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_saved_twice_is_one_folder(tmp_path, folder):
    stamp = (folder / "manifest.json").stat().st_mtime_ns
    assert save_adapter(changed(notes={"note": 1}), tmp_path) == folder, "notes name no identity"
    assert [path.name for path in tmp_path.iterdir()] == [ADAPTER.digest[:12]]
    assert (folder / "manifest.json").stat().st_mtime_ns == stamp


def test_manifest_says_what_it_is(folder):
    manifest = read_manifest(folder)
    assert manifest == json.loads(json.dumps(manifest_of(ADAPTER)))
    assert manifest["identity"]["base"] == BASE.digest
    assert manifest["identity"]["template"] == BASE.renderer.digest
    assert manifest["identity"]["scope"] == "prompt"
    assert manifest["versions"]["pretune"] == pretune.__version__
    assert manifest["parameters"] == sum(v.numel() for v in ADAPTER.weights.values())


def test_digest_covers_all_that_computes():
    variants = [
        ADAPTER,
        changed({"layers.0.v.B": torch.ones(16, 1)}),
        changed(scope=Scope.ALL),
        changed(config=LoraConfig(rank=1, sites=("v",), alpha=4)),
        changed(base_digest="another"),
        changed(template_digest="another"),
    ]
    assert len({adapter.digest for adapter in variants}) == len(variants)
    reordered = dict(reversed(ADAPTER.weights.items()))
    assert changed(weights=reordered).digest == ADAPTER.digest


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["adapter.safetensors", "manifest.json"]), st.data())
def test_altered_byte_is_noticed(folder, name, data):
    path = folder / name
    raw = path.read_bytes()
    place = data.draw(st.integers(0, len(raw) - 1))
    flipped = bytes([raw[place] ^ data.draw(st.integers(1, 255))])
    path.write_bytes(raw[:place] + flipped + raw[place + 1 :])
    try:
        loaded = load_adapter(folder)
    except PretuneError:
        pass
    else:  # notes, versions and counts are no part of the identity
        assert loaded.digest == ADAPTER.digest
        assert name == "manifest.json"
    finally:
        path.write_bytes(raw)


@pytest.mark.parametrize("place", [3, 20, -1], ids=["length", "header", "weights"])
def test_altered_weights_are_refused(folder, place):
    path = folder / "adapter.safetensors"
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)
    with pytest.raises(AdapterError, match=r"adapter\.safetensors.*does not match the manifest"):
        load_adapter(folder)


@pytest.mark.parametrize("kept", [0, 7, 60, -1])
def test_truncated_weights_are_refused(folder, kept):
    path = folder / "adapter.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(AdapterError, match=r"is damaged: .*copy it again"):
        load_adapter(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m["identity"].update(scope="all"), "was altered: its digest does not match"),
        (lambda m: m["identity"].update(base="x"), "was altered: its digest does not match"),
        (lambda m: m["identity"]["method"].update(alpha=1), "was altered"),
        (lambda m: m["identity"]["method"].update(name="lorra"), "is damaged"),
        (lambda m: m["identity"].update(scope="some"), "is damaged"),
        (lambda m: m["identity"].pop("weights"), "is damaged"),
        (lambda m: m.update(identity=3), "is damaged"),
        (lambda m: m.update(format=9), "has format 9, this version reads 1; update pretune"),
        (lambda m: m["identity"].update(scope_version=9), "under version 9 of scope"),
        (lambda m: m.pop("format"), "is damaged"),
    ],
)
def test_altered_manifest_is_refused(folder, change, words):
    alter(folder, change)
    with pytest.raises(AdapterError, match=words):
        load_adapter(folder)


def test_broken_manifest_is_refused(folder):
    (folder / "manifest.json").write_text("{")
    with pytest.raises(AdapterError, match=r"manifest.*is damaged"):
        load_adapter(folder)
    (folder / "manifest.json").write_bytes(b"\xff\xfe")
    with pytest.raises(AdapterError, match=r"manifest.*is damaged"):
        load_adapter(folder)


def test_missing_files_are_told_apart(folder, tmp_path):
    with pytest.raises(AdapterError, match=r'no adapter at ".*nowhere"; give a folder with'):
        load_adapter(tmp_path / "nowhere")
    (folder / "adapter.safetensors").rename(folder / "adapter.bin")
    with pytest.raises(AdapterError, match=r"adapter\.bin.*is a pickle.*convert it to"):
        load_adapter(folder)
    (folder / "adapter.bin").unlink()
    with pytest.raises(AdapterError, match=r"lacks manifest\.json or adapter\.safetensors"):
        load_adapter(folder)
    (folder / "manifest.json").unlink()
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(AdapterError, match=r"PEFT's format; bring it in with: pretune import"):
        load_adapter(folder)


def test_another_base_is_refused():
    with pytest.raises(AdapterError, match=r'was trained on base .*, not on "tiny-llama"'):
        ADAPTER.by_site(tiny_base(seed=1))


def test_another_template_is_refused():
    with pytest.raises(AdapterError, match=r"another tokenizer or chat template than base"):
        changed(template_digest="another").by_site(BASE)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"layers.9.v.A": torch.ones(1, 32)}, r'"layers.9.v.A" matches no part.*layers.0.v'),
        ({"layers.0.v.C": torch.ones(1)}, r'"layers.0.v.C" is not one of this method'),
        ({"layers.0.v.A": torch.ones(2, 32)}, r'A" has shape \(2, 32\), expected \(1, 32\)'),
    ],
)
def test_misfit_weights_are_named(weights, words):
    with pytest.raises(AdapterError, match=words):
        changed(weights).by_site(BASE)


@pytest.mark.parametrize("lost", ["layers.1.v.A", "layers.1.v.B"])
def test_missing_weights_are_named(lost):
    fewer = {name: value for name, value in ADAPTER.weights.items() if name != lost}
    with pytest.raises(AdapterError, match=f'"{lost}" is missing; the file is incomplete'):
        changed(weights=fewer).by_site(BASE)


def test_a_part_missing_everywhere_is_named():
    fewer = {name: value for name, value in ADAPTER.weights.items() if not name.endswith("A")}
    with pytest.raises(AdapterError, match=r'"layers.0.v.A" is missing; the file is incomplete'):
        changed(weights=fewer).by_site(BASE)


@pytest.mark.parametrize("name", ["lora", "dora", "bottleneck", "direft"])
def test_no_effect_is_refused(name):
    adapter = make_adapter(BASE, CONFIGS[name], Scope.ALL)
    start = adapter.method.initial(BASE, None, 0)
    untrained = dataclasses.replace(adapter, weights=start)
    with pytest.raises(AdapterError, match=r"has no effect: .*train it"):
        untrained.by_site(BASE)


@pytest.mark.parametrize("call", ["pathlib.Path.write_text", "os.replace", "os.fsync"])
def test_full_disk_leaves_nothing(tmp_path, monkeypatch, call):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(call, full)
    with pytest.raises(StorageError, match=r"No space left on device; free space"):
        save_adapter(ADAPTER, tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert load_adapter(save_adapter(ADAPTER, tmp_path)).digest == ADAPTER.digest


def test_a_scope_that_the_method_refuses_is_none_of_a_file(tmp_path):
    path = save_adapter(changed(config=PrefixTuningConfig(), scope=Scope.ALL), tmp_path)
    with pytest.raises(
        AdapterError, match='is damaged: method "prefix_tuning" refuses scope "all"'
    ):
        load_adapter(path)
