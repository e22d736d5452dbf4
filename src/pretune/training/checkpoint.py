"""Checkpoints: all that a training needs to go on to the last digit, in one safetensors file.

One file, replaced by one rename: a kill at any moment leaves the old state or the new one. No
pickle: the JSON part travels in the file's own header.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pretune.core.errors import StorageError, TrainingError
from pretune.core.files import file_atomic
from pretune.training.history import History

FILE_NAME = "checkpoint.safetensors"

_STATE = "pretune.training"
"""The header's key of the JSON part."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """``identity`` is what must not change between the parts of one training; ``tensors`` are
    groups by name (parameters, best, optimizer, rng), each by name."""

    identity: Mapping[str, Any]
    history: History
    tensors: Mapping[str, Mapping[str, Tensor]] = field(repr=False)

    def save(self, folder: Path) -> None:
        """Write to ``folder``, replacing an earlier one.

        Raises:
            StorageError: the disk is full; the earlier one is intact.
        """
        flat = {
            f"{group}:{name}": value.contiguous()
            for group, values in self.tensors.items()
            for name, value in values.items()
        }
        state = {"identity": self.identity, "history": self.history.to_json()}
        # A private training's noise is a secret for as long as there is an adapter.
        with file_atomic(folder / FILE_NAME, private=True) as draft:
            try:
                # From where the tensors lie: a copy in memory would be a second model.
                save_file(flat, draft, metadata={_STATE: json.dumps(state)})
            except SafetensorError as error:
                raise OSError(str(error)) from error

    def check(self, identity: Mapping[str, Any]) -> None:
        """Refuse to go on with another training than this one.

        Raises:
            TrainingError: names what differs, with both values.
        """
        for key, value in identity.items():
            if self.identity.get(key) != value:
                raise TrainingError(
                    f'cannot resume: {key} was "{self.identity.get(key)}" and is now "{value}"; '
                    "put it back, choose another folder, or overwrite this training"
                )


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The checkpoint in ``folder``, if there is one; what a kill left half-written is removed.

    The caller holds the folder's lock, or is one of the processes of a training whose main one
    does.

    Raises:
        StorageError: the file is damaged.
    """
    for draft in folder.glob(f".{FILE_NAME}.*"):
        draft.unlink(missing_ok=True)  # processes of one training all look at once
    path = folder / FILE_NAME
    if not path.exists():
        return None
    tensors: dict[str, dict[str, Tensor]] = {}
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()[_STATE])
            for key in file.keys():  # noqa: SIM118  (not a mapping)
                group, _, name = key.partition(":")
                tensors.setdefault(group, {})[name] = file.get_tensor(key)
        return Checkpoint(state["identity"], History.from_json(state["history"]), tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise StorageError(
            f'checkpoint "{path}" is damaged ({error}); overwrite this training or choose '
            "another folder"
        ) from error


def rng_state(device: torch.device) -> dict[str, Tensor]:
    """The states of torch's generators that a training on ``device`` may draw from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_rng_state(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Take up a :func:`rng_state`."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
