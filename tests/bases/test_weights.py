"""A base's weights are safetensors of its own folder; what leads elsewhere is refused by name."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from bases.test_load import logits, save_base
from pretune.bases import load_base
from pretune.bases.fakes import tiny_model
from pretune.core.digest import of_file, of_json
from pretune.core.errors import BaseModelError

INDEX = "model.safetensors.index.json"
PARTS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A base with weights in two parts, as ``transformers`` writes them."""
    folder = save_base(tmp_path_factory.mktemp("bases") / "saved")
    (folder / "model.safetensors").unlink()
    tiny_model().save_pretrained(folder, max_shard_size="100kB")
    assert tuple(sorted(path.name for path in folder.glob("*.safetensors"))) == PARTS
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of the saved base, to be damaged; beside it stands ``outside.safetensors``."""
    shutil.copy(saved / PARTS[1], tmp_path / "outside.safetensors")
    return shutil.copytree(saved, tmp_path / "base")


def changed(path, **keys):
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def leads_to(folder, found):
    """The index with ``found`` in the place of the second part."""
    weight_map = json.loads((folder / INDEX).read_text())["weight_map"]
    moved = {name: found if part == PARTS[1] else part for name, part in weight_map.items()}
    changed(folder / INDEX, weight_map=moved)


def test_a_base_in_parts_is_loaded(saved, tmp_path):
    base, whole = load_base(str(saved)), load_base(str(save_base(tmp_path)))
    assert logits(base).equal(logits(whole))


def test_the_digest_is_of_all_parts(saved):
    """The law of a base's digest, told once more; registries hold digests made under it."""
    told = json.loads((saved / "config.json").read_text())
    shape = {
        k: v for k, v in told.items() if k not in ("transformers_version", "dtype", "use_cache")
    }
    expected = of_json([shape, [of_file(saved / part) for part in PARTS]])
    assert load_base(str(saved)).digest == expected


@pytest.mark.parametrize("place", ["../outside", "{}/outside", "./../base/../outside", "nowhere"])
def test_an_index_that_leads_out_of_the_folder_is_refused(folder, tmp_path, place):
    found = place.format(tmp_path) + ".safetensors"
    leads_to(folder, found)
    with pytest.raises(BaseModelError, match=rf'"{found}".*"{PARTS[0]}", "{PARTS[1]}"; copy'):
        load_base(str(folder))


def test_parts_in_a_folder_below_are_refused(folder):
    """They would load, and be no part of the digest."""
    (folder / "below").mkdir()
    shutil.copy(folder / PARTS[1], folder / "below")
    leads_to(folder, f"below/{PARTS[1]}")
    with pytest.raises(BaseModelError, match=rf'"below/{PARTS[1]}" in .*none of the weight'):
        load_base(str(folder))


def test_a_missing_part_is_named(folder):
    (folder / PARTS[1]).unlink()
    with pytest.raises(BaseModelError, match=rf'"{PARTS[1]}" in .*none of .* "{PARTS[0]}"; copy'):
        load_base(str(folder))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        "[" * 10**5,
        '{"a":' * 10**5,
        '{"metadata": {}}',
        '{"metadata": {}, "weight_map": {}}',
        '{"metadata": {}, "weight_map": []}',
        '{"metadata": {}, "weight_map": {"a": 1}}',
        '{"metadata": {}, "weight_map": {"a": [null]}}',
        '{"metadata": [], "weight_map": {"a": "%s"}}',
        '{"weight_map": {"a": "%s"}}',
    ],
)
def test_an_index_that_is_none(folder, text):
    (folder / INDEX).write_text(text.replace("%s", PARTS[0]))
    with pytest.raises(BaseModelError, match=r'"model\.safetensors\.index\.json".*; copy'):
        load_base(str(folder))


def test_an_index_beside_whole_weights_is_not_followed(tmp_path):
    """As ``transformers`` does; folders with such a left-over load as ever."""
    folder = save_base(tmp_path / "base")
    digest = load_base(str(folder)).digest
    (folder / INDEX).write_text('{"metadata": {}, "weight_map": {"a": "../outside.safetensors"}}')
    assert load_base(str(folder)).digest == digest


def test_links_are_followed(folder, tmp_path):
    """As the hub's cache lays its files out; the digest is of what the link leads to."""
    digest = load_base(str(folder)).digest
    (folder / PARTS[1]).unlink()
    (folder / PARTS[1]).symlink_to(tmp_path / "outside.safetensors")
    assert load_base(str(folder)).digest == digest


def test_weights_of_another_name_are_of_the_folder(tmp_path):
    folder = save_base(tmp_path / "base")
    expected = logits(load_base(str(folder)))
    (folder / "model.safetensors").rename(folder / "mine.safetensors")
    changed(folder / "config.json", transformers_weights="mine.safetensors")
    assert logits(load_base(str(folder))).equal(expected)


@pytest.mark.parametrize(
    "named", ["below/x.safetensors", "../outside.safetensors", "adapter_model.bin", 1, [], {"a": 1}]
)
def test_a_config_that_leads_elsewhere_is_refused(folder, tmp_path, named):
    (folder / "below").mkdir()
    for place in ("below/x.safetensors", "adapter_model.bin"):
        shutil.copy(tmp_path / "outside.safetensors", folder / place)
    changed(folder / "config.json", transformers_weights=named)
    with pytest.raises(BaseModelError, match=r'"transformers_weights": .*none of the weight files'):
        load_base(str(folder))


def test_an_index_of_another_name_is_checked_too(folder):
    leads_to(folder, "../outside.safetensors")
    (folder / INDEX).rename(folder / "mine.safetensors.index.json")
    changed(folder / "config.json", transformers_weights="mine.safetensors.index.json")
    with pytest.raises(BaseModelError, match=r'"\.\./outside.*"mine\.safetensors\.index\.json"'):
        load_base(str(folder))


def test_a_config_in_another_file_is_refused(folder):
    """The digest is of ``config.json``; the model would be what the other one says."""
    shutil.copy(folder / "config.json", folder / "config.4.0.0.json")
    changed(folder / "config.4.0.0.json", rms_norm_eps=0.5)
    changed(folder / "config.json", configuration_files=["config.4.0.0.json"])
    with pytest.raises(BaseModelError, match=r'"configuration_files".*put what is meant into con'):
        load_base(str(folder))


def test_an_adapter_in_the_folder_is_refused(folder):
    """With ``peft`` installed it is put on the base, without it is not; the digest is the same."""
    text = '{"peft_type": "LORA", "r": 1, "lora_alpha": 8, "target_modules": ["q_proj"]}'
    (folder / "adapter_config.json").write_text(text)
    layers = {
        f"base_model.model.model.layers.{i}.self_attn.q_proj.lora_{part}.weight": value
        for i in range(2)
        for part, value in _ones(folder, i).items()
    }
    save_file(layers, folder / "adapter_model.safetensors")
    with pytest.raises(BaseModelError, match=r'"adapter_config\.json".*merge it.*or move it'):
        load_base(str(folder))


def _ones(folder, layer):
    weights = {k: v for part in PARTS for k, v in load_file(folder / part).items()}
    wide = weights[f"model.layers.{layer}.self_attn.q_proj.weight"]
    return {"A": wide[:1].clone().fill_(1.0), "B": wide[:, :1].clone().fill_(1.0)}


def test_a_folder_is_no_weight_file(folder):
    (folder / "more.safetensors").mkdir()
    digest = load_base(str(folder)).digest
    (folder / "more.safetensors").rmdir()
    assert load_base(str(folder)).digest == digest
