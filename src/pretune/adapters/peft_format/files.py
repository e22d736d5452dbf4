"""The two files of PEFT's format: a config and safetensors."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from pretune.core.errors import AdapterError
from pretune.core.files import folder_atomic
from pretune.spec.methods import MethodConfig

C = TypeVar("C", bound=MethodConfig)

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_SHOWN = 80
"""Characters of a value that a message shows."""


@dataclass(frozen=True, eq=False)
class Contents:
    """What a folder holds: its config and its tensors by name."""

    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    def number(self, key: str) -> float:
        """The number at ``key``.

        Raises:
            AdapterError: it is missing or no number.
        """
        value = self.config.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        raise self._other_than("a number", key)

    def flag(self, key: str) -> bool:
        """The switch at ``key``, off where it is missing.

        Raises:
            AdapterError: it is neither true nor false.
        """
        value = self.config.get(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise self._other_than("true or false", key)

    def text(self, key: str) -> str | None:
        """The text at ``key``, if there is one.

        Raises:
            AdapterError: it is another value, or no text that a file can hold.
        """
        value = self.config.get(key)
        if value is None:
            return None
        if isinstance(value, str) and _is_whole(value):
            return value
        raise self._other_than("a text", key)

    def mapping(self, key: str) -> Mapping[str, Any]:
        """The values by name at ``key``, none where it is missing.

        Raises:
            AdapterError: it is another value.
        """
        value = self.config.get(key)
        if value is None or isinstance(value, dict):
            return value or {}
        raise self._other_than("values by name", key)

    def shown(self, key: str) -> str:
        """The value at ``key`` as JSON, for a message."""
        try:
            text = json.dumps(self.config.get(key))
        except RecursionError:  # it could just be read
            return "a value that is nested too deeply"
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."

    def _other_than(self, expected: str, key: str) -> AdapterError:
        return AdapterError(
            f'"{self.folder / CONFIG}" has "{key}": {self.shown(key)}, expected {expected}; copy '
            "it again"
        )

    def config_of(self, kind: type[C], **options: Any) -> C:
        """The config of a method with ``options`` as found.

        Raises:
            AdapterError: one of them is out of its range.
        """
        try:
            return kind(**options)
        except ValidationError as error:
            problem = error.errors()[0]
            key, reason = ".".join(map(str, problem["loc"])), problem["msg"]
            raise AdapterError(
                f'"{self.folder / CONFIG}" cannot be imported: "{key}": {reason}, not '
                f"{problem['input']}"
            ) from error

    def refuse(self, reasons: Mapping[str, str], harmless: Iterable[Any] = (None, False)) -> None:
        """Raise AdapterError for the first key of ``reasons`` that is set to more than empty."""
        plain = list(harmless)
        for key, reason in reasons.items():
            value = self.config.get(key)
            if value not in plain and value not in ([], {}):
                raise AdapterError(
                    f'"{self.folder}" has "{key}": {self.shown(key)}, which cannot be imported: '
                    f"{reason}"
                )


def read_folder(folder: Path) -> Contents:
    """Config and float32 tensors of an adapter in PEFT's format.

    Raises:
        AdapterError: a file is missing, pickled or damaged.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise AdapterError(f'no PEFT adapter at "{folder}"; give a folder with {CONFIG}')
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise AdapterError(f'"{path}" is no valid JSON: {error}; copy it again') from error
    if not isinstance(config, dict):
        raise AdapterError(f'"{path}" is no JSON object; copy it again')
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise AdapterError(_why_no_weights(folder))
    return Contents(folder, config, _tensors(weights))


def write_folder(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Path:
    """Write ``folder``, whole or not at all, and return it.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    ordered = {name: tensors[name].contiguous() for name in sorted(tensors)}
    with folder_atomic(folder) as draft:
        # PEFT looks for this metadata, as transformers does for weights.
        (draft / WEIGHTS).write_bytes(save(ordered, metadata={"format": "pt"}))
        text = json.dumps(dict(config), indent=2, sort_keys=True)
        (draft / CONFIG).write_text(text, encoding="utf-8")
    return folder


def _is_whole(text: str) -> bool:
    """Whether ``text`` is without halves of UTF-16 pairs, which JSON can write and UTF-8 cannot."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _tensors(path: Path) -> dict[str, Tensor]:
    """Float32 tensors by name. A header may name a type that torch, or this reader, lacks."""
    try:
        found = load(path.read_bytes())
        if other := sorted(name for name, one in found.items() if not one.is_floating_point()):
            raise TypeError(f'"{other[0]}" is of type {found[other[0]].dtype}, which is no float')
        return {name: value.float() for name, value in found.items()}
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise AdapterError(f'"{path}" is damaged: {error}; copy it again') from error


def _why_no_weights(folder: Path) -> str:
    if (folder / "adapter_model.bin").is_file():
        return (
            f'"{folder / "adapter_model.bin"}" is a pickle, which can run code when opened, and is '
            "refused; convert it to safetensors"
        )
    return f'"{folder}" has no {WEIGHTS}; the adapter is incomplete'
