"""An adapter folder as files and digests, without torch: read its manifest, check it is whole."""

import json
from pathlib import Path
from typing import Any

from pretune.core.digest import of_file, of_json
from pretune.core.errors import AdapterError

WEIGHTS = "adapter.safetensors"
MANIFEST = "manifest.json"
FORMAT = 1
"""Version of the manifest's fields."""


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an adapter folder.

    Raises:
        AdapterError: not an adapter folder, a broken manifest, or one of a later format.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise AdapterError(_why_no_adapter(folder))
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = manifest["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise AdapterError(f'manifest "{path}" is damaged: {error}') from error
    if found != FORMAT:
        raise AdapterError(
            f'adapter "{folder}" has format {found}, this version reads {FORMAT}; update pretune'
        )
    return manifest


def check_files(folder: Path) -> dict[str, Any]:
    """The manifest of an adapter folder whose weights and manifest agree with their digests.

    Whether the weights fit their method and base is found out when they are loaded.

    Raises:
        AdapterError: pickled, truncated or altered content.
    """
    manifest, path = read_manifest(folder), weights_file(folder)
    try:
        identity, named = manifest["identity"], manifest["digest"]
        whole = of_file(path) == identity["weights"]
    except (KeyError, TypeError) as error:
        raise AdapterError(f'adapter "{folder}" is damaged: {error}') from error
    if not whole:
        raise damaged_weights(path)
    if of_json(identity) != named:
        raise altered_manifest(folder)
    return manifest


def weights_file(folder: Path) -> Path:
    """Where an adapter folder keeps its weights.

    Raises:
        AdapterError: not there.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise AdapterError(_why_no_adapter(folder))
    return path


def damaged_weights(path: Path) -> AdapterError:
    """The error for weights that are not those of the manifest."""
    return AdapterError(
        f'"{path}" is damaged: its content does not match the manifest; copy it again'
    )


def altered_manifest(folder: Path) -> AdapterError:
    """The error for a manifest that is not what its own digest says."""
    return AdapterError(f'manifest "{folder / MANIFEST}" was altered: its digest does not match')


def _why_no_adapter(folder: Path) -> str:
    if not folder.is_dir():
        return f'no adapter at "{folder}"; give a folder with {WEIGHTS} and {MANIFEST}'
    pickled = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth"))
    if pickled:
        return (
            f'"{folder / pickled[0]}" is a pickle, which can run code when opened, and is refused; '
            "convert it to safetensors"
        )
    if (folder / "adapter_config.json").is_file():
        return f'"{folder}" is in PEFT\'s format; bring it in with: pretune import "{folder}"'
    return f'"{folder}" is no adapter: it lacks {MANIFEST} or {WEIGHTS}'
