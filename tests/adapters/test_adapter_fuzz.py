"""An adapter folder made by an enemy who can compute digests: refused by name, or read; no other
error, and no more memory than the file has bytes."""

import json
import resource
import struct
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laws.cases import make_adapter
from pretune.adapters.files import MANIFEST, WEIGHTS, load_adapter, save_adapter
from pretune.bases.fakes import tiny_base
from pretune.core.digest import of_bytes, of_json
from pretune.core.errors import PretuneError
from pretune.core.scope import Scope
from pretune.spec.methods import LoraConfig

BASE = tiny_base()
any_folder = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


@cache
def good(root: Path) -> tuple[bytes, dict[str, Any]]:
    """A whole adapter's weights and manifest."""
    adapter = make_adapter(BASE, LoraConfig(rank=1, sites=("v",)), Scope.PROMPT)
    folder = save_adapter(adapter, root)
    return (folder / WEIGHTS).read_bytes(), json.loads((folder / MANIFEST).read_text())


def holds(folder: Path, raw: bytes, manifest: bytes) -> None:
    """Reading them gives an adapter, or an error of ours."""
    (folder / WEIGHTS).write_bytes(raw)
    (folder / MANIFEST).write_bytes(manifest)
    with suppress(PretuneError):
        load_adapter(folder).by_site(BASE)


def signed(raw: bytes, manifest: dict[str, Any]) -> bytes:
    """The manifest with digests that are right for ``raw``."""
    identity = {**manifest["identity"], "weights": of_bytes(raw)}
    return json.dumps({**manifest, "identity": identity, "digest": of_json(identity)}).encode()


@any_folder
@given(st.data())
def test_any_weights(tmp_path, data):
    raw, manifest = good(tmp_path)
    raw = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(raw) - 1) | st.integers(0, 300))
        size = data.draw(st.integers(0, 4))
        raw[place : place + size] = data.draw(st.binary(max_size=4))
    raw = raw[: data.draw(st.integers(0, len(raw)) | st.just(len(raw)))]
    holds(tmp_path, bytes(raw), signed(bytes(raw), manifest))


tensors = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "I64", "BOOL", "F8_E4M3", "C64", "X", 1]),
        "shape": st.lists(st.sampled_from([0, 1, 16, 2**31, 2**63, -1]), max_size=4),
        "data_offsets": st.tuples(*[st.sampled_from([0, 1, 64, 2**40, 2**63, -1])] * 2),
    }
)
names = st.sampled_from(["layers.0.v.A", "layers.0.v.B", "__metadata__", "", "x", "../x", "\ud800"])


@any_folder
@given(st.dictionaries(names, tensors, max_size=3), st.integers(-2, 2), st.binary(max_size=128))
def test_any_header(tmp_path, header, off, body):
    _, manifest = good(tmp_path)
    text = json.dumps(header).encode()
    raw = struct.pack("<Q", max(0, len(text) + off)) + text + body
    holds(tmp_path, raw, signed(raw, manifest))


@pytest.mark.parametrize("length", [2**20, 2**32, 2**62, 2**64 - 1])
def test_a_header_that_claims_to_be_huge(tmp_path, length):
    _, manifest = good(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    raw = struct.pack("<Q", length) + b"{}"
    (tmp_path / WEIGHTS).write_bytes(raw)
    (tmp_path / MANIFEST).write_bytes(signed(raw, manifest))
    with pytest.raises(PretuneError, match="damaged"):
        load_adapter(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


texts = st.text(max_size=6) | st.just("\ud800")
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@any_folder
@given(st.data())
def test_any_manifest(tmp_path, data):
    raw, manifest = good(tmp_path)
    changed = json.loads(json.dumps(manifest))
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from([changed, changed["identity"]]))
        key = data.draw(st.sampled_from(sorted(place)))
        if place is changed and key == "identity":
            place = {}
        place[key] = data.draw(values)
    holds(tmp_path, raw, json.dumps(changed).encode())
    if isinstance(changed["identity"].get("base"), str) and "\\ud800" not in json.dumps(changed):
        holds(tmp_path, raw, signed(raw, changed))


@pytest.mark.parametrize(
    "manifest",
    [b"", b"[]", b"null", b"1", b'"x"', b"{", b"\xff", b"[" * 10**5, b'{"a":' * 10**5, b"NaN"],
)
def test_manifests_that_are_none(tmp_path, manifest):
    raw, _ = good(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(raw)
    (tmp_path / MANIFEST).write_bytes(manifest)
    with pytest.raises(PretuneError, match="damaged"):
        load_adapter(tmp_path)
