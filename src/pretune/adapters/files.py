"""Adapter files: a folder of safetensors and a manifest, named by content, never changed."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load

import pretune
from pretune.adapters.adapter import Adapter
from pretune.adapters.manifest import (
    FORMAT,
    MANIFEST,
    WEIGHTS,
    altered_manifest,
    damaged_weights,
    read_manifest,
    weights_file,
)
from pretune.core.digest import SHORT, of_bytes
from pretune.core.errors import AdapterError
from pretune.core.files import folder_atomic
from pretune.core.scope import SCOPE_VERSION, Scope
from pretune.spec.methods import AnyMethod

_METHOD: TypeAdapter[AnyMethod] = TypeAdapter(AnyMethod)


def manifest_of(adapter: Adapter) -> dict[str, Any]:
    """What the manifest says: identity, size, notes, versions."""
    return {
        "format": FORMAT,
        "digest": adapter.digest,
        "identity": adapter.identity,
        "parameters": adapter.parameters,
        "notes": dict(adapter.notes),
        "versions": {
            "pretune": pretune.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }


def adapter_path(adapter: Adapter, root: Path) -> Path:
    """Where below ``root`` an adapter is kept: named by its digest."""
    return root / adapter.digest[:SHORT]


def save_adapter(adapter: Adapter, root: Path) -> Path:
    """Write ``adapter`` to its place below ``root`` and return it; already there, it is kept.

    Raises:
        StorageError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    folder = adapter_path(adapter, root)
    if folder.exists() and read_manifest(folder).get("digest") == adapter.digest:
        return folder
    with folder_atomic(folder) as draft:
        (draft / WEIGHTS).write_bytes(adapter.serialized)
        text = json.dumps(manifest_of(adapter), indent=1, ensure_ascii=False)
        (draft / MANIFEST).write_text(text, encoding="utf-8")
    return folder


def load_adapter(folder: Path) -> Adapter:
    """Read an adapter and check it against its own digests.

    Raises:
        AdapterError: pickled, truncated, altered or unknown content.
    """
    manifest = read_manifest(folder)
    path = weights_file(folder)
    raw = path.read_bytes()
    try:
        identity = manifest["identity"]
        stored = of_bytes(raw)
        if stored != identity["weights"]:
            raise damaged_weights(path)
        if identity["scope_version"] != SCOPE_VERSION:
            raise AdapterError(
                f'adapter "{folder}" was trained under version {identity["scope_version"]} of '
                f"scope, this is {SCOPE_VERSION}; train it anew"
            )
        adapter = Adapter(
            config=_METHOD.validate_python(identity["method"]),
            scope=Scope(identity["scope"]),
            weights=load(raw),
            base_digest=identity["base"],
            template_digest=identity["template"],
            notes=dict(manifest["notes"]),
            stored=stored,
        )
        adapter.config.check_scope(adapter.scope)
        whole = adapter.digest == manifest["digest"]
    except AdapterError:
        raise
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise AdapterError(f'adapter "{folder}" is damaged: {error}') from error
    if not whole:
        raise altered_manifest(folder)
    return adapter
