"""The two files of PEFT's format: a config and safetensors."""

import json
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
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise AdapterError(
                f'"{self.folder / CONFIG}" has "{key}": {json.dumps(value)}, expected a number'
            )
        return value

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
                    f'"{self.folder}" has "{key}": {json.dumps(value)}, which cannot be imported: '
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
    except ValueError as error:
        raise AdapterError(f'"{path}" is no valid JSON: {error}; copy it again') from error
    if not isinstance(config, dict):
        raise AdapterError(f'"{path}" is no JSON object; copy it again')
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise AdapterError(_why_no_weights(folder))
    try:
        tensors = load(weights.read_bytes())
    except SafetensorError as error:
        raise AdapterError(f'"{weights}" is damaged: {error}; copy it again') from error
    return Contents(folder, config, {name: value.float() for name, value in tensors.items()})


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


def _why_no_weights(folder: Path) -> str:
    if (folder / "adapter_model.bin").is_file():
        return (
            f'"{folder / "adapter_model.bin"}" is a pickle, which can run code when opened, and is '
            "refused; convert it to safetensors"
        )
    return f'"{folder}" has no {WEIGHTS}; the adapter is incomplete'
