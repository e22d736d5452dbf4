"""Training checkpoints: one safetensors file, replaced atomically, no pickle.

Tensors are named `model.<parameter>` and `<optimiser>.<buffer>.<parameter>`; everything that is
not a tensor is JSON in the file's metadata.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from model import Decoder, Shape
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

FILE = "checkpoint.safetensors"


@dataclass
class Progress:
    """Where a run stands."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    cursors: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)


def save(
    folder: Path,
    decoder: Decoder,
    optimisers: dict[str, torch.optim.Optimizer],
    progress: Progress,
) -> None:
    """Write the model, its optimisers and the progress."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": weight for name, weight in decoder.state_dict().items()}
    for kind, optimiser in optimisers.items():
        for name, param in decoder.named_parameters():
            for key, value in optimiser.state.get(param, {}).items():
                tensors[f"{kind}.{key}.{name}"] = value
    note = {"shape": json.dumps(asdict(decoder.shape)), "progress": json.dumps(asdict(progress))}
    partial = folder / f"{FILE}.partial"
    save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, partial, note)
    partial.replace(folder / FILE)


def load(
    folder: Path, decoder: Decoder, optimisers: dict[str, torch.optim.Optimizer]
) -> Progress | None:
    """Restore a run in place; None where there is no checkpoint."""
    path = folder / FILE
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as stored:
        note = stored.metadata()
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    decoder.load_state_dict(under(tensors, "model"))
    params = dict(decoder.named_parameters())
    for kind, optimiser in optimisers.items():
        for key_and_name, value in under(tensors, kind).items():
            key, name = key_and_name.split(".", 1)
            optimiser.state[params[name]][key] = value.to(params[name].device)
    return Progress(**json.loads(note["progress"]))


def under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors below a dotted prefix, the prefix cut off."""
    start = f"{prefix}."
    return {name[len(start) :]: t for name, t in tensors.items() if name.startswith(start)}


def load_model(folder: Path) -> Decoder:
    """The model of a checkpoint alone."""
    with safe_open(folder / FILE, framework="pt") as stored:
        decoder = Decoder(Shape(**json.loads(stored.metadata()["shape"])))
    load(folder, decoder, {})
    return decoder
