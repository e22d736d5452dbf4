"""Which files a base's weights are read from: safetensors in its own folder, and no others.

``transformers`` goes where ``config.json`` or an index of parts leads. What lies elsewhere would be
no part of the base's digest, and need not be safetensors.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pretune.core.errors import BaseModelError

_WHOLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_INDEX_END = ".safetensors.index.json"
_ADAPTER = "adapter_config.json"
_UNSAFE = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def weight_files(name: str, folder: Path, config: Any) -> list[Path]:
    """All safetensors in ``folder``, among which is all that ``transformers`` will read.

    Raises:
        BaseModelError: there are none, or ``config``, an index of parts or an adapter beside them
            leads to others.
    """
    files = [path for path in sorted(folder.glob("*.safetensors")) if path.is_file()]
    if not files:
        raise BaseModelError(_why_no_weights(name, folder))
    if (folder / _ADAPTER).is_file():
        raise BaseModelError(
            f'base "{name}" has an adapter of PEFT in its folder ("{_ADAPTER}"), which it would be '
            "loaded with where peft is installed; merge it into the weights, or move it to a "
            "folder of its own"
        )
    names = [path.name for path in files]
    # Of a model for pictures and text, transformers takes the config of the text.
    for one in (config, config.get_text_config(decoder=True)):
        _check_entry(name, folder, getattr(one, "transformers_weights", None), names)
    return files


def _check_entry(name: str, folder: Path, named: Any, names: Collection[str]) -> None:
    """Where ``transformers`` begins: at what the config says is ``named``, or at the usual name."""
    if named is None:
        named = _INDEX if _WHOLE not in names and (folder / _INDEX).is_file() else _WHOLE
    elif not _is_plain(folder, named):
        raise BaseModelError(
            f'base "{name}" has "transformers_weights": {json.dumps(named)} in its config.json, '
            f"which is none of the weight files in its folder ({_listed(names)}); take that line "
            f'out and name the weights "{_WHOLE}"'
        )
    if named.endswith(_INDEX_END):
        _check_index(name, folder / named, names)


def _is_plain(folder: Path, named: Any) -> bool:
    """Whether ``named`` names a weight file, or an index of such, in ``folder`` itself."""
    return (
        isinstance(named, str)
        and named.endswith((".safetensors", _INDEX_END))
        and named in {path.name for path in folder.iterdir()}
    )


def _check_index(name: str, path: Path, names: Collection[str]) -> None:
    try:
        index = json.loads(path.read_bytes())
        parts = list(index["weight_map"].values())
        if not isinstance(index["metadata"], dict):
            raise TypeError('"metadata" is no mapping')
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BaseModelError(
            f'base "{name}" has a damaged index of its weights, "{path.name}" ({error}); copy the '
            "base again"
        ) from error
    for part in parts or [None]:
        if not isinstance(part, str) or part not in names:
            raise BaseModelError(
                f'base "{name}" has {json.dumps(part)} in "{path.name}", which is none of the '
                f"weight files in its folder: {_listed(names)}; copy the base again, whole"
            )


def _listed(names: Collection[str], most: int = 8) -> str:
    shown = [f'"{one}"' for one in sorted(names)[:most]]
    return ", ".join(shown) + (", ..." if len(names) > most else "")


def _why_no_weights(name: str, folder: Path) -> str:
    pickled = sorted(path.name for pattern in _UNSAFE for path in folder.glob(pattern))
    if pickled:
        return (
            f'base "{name}" has pickled weights only ("{pickled[0]}"), which can run code when '
            "opened; convert them to safetensors first"
        )
    return f'base "{name}" has no safetensors weights in "{folder}"'
