"""Loss on held-out text, per source, in nats a token and bits a byte."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import torch
from mixture import pack
from model import Decoder

LENGTH = 256
ROWS = 16


class Validation:
    """Windows of every held-out source; the first `most` of each are measured."""

    def __init__(self, folder: Path, length: int = LENGTH, most: int = 4 * ROWS) -> None:
        sources = json.loads((folder / "sources.json").read_text(encoding="utf-8"))
        self.windows: dict[str, torch.Tensor] = {}
        self.bytes_per_token: dict[str, float] = {}
        for stem, note in sources.items():
            tokens = np.fromfile(folder / f"{stem}.bin", dtype=np.uint16).astype(np.int64)
            count = min((len(tokens) - 1) // length, most)
            starts = np.arange(count) * length
            self.windows[note["source"]] = torch.from_numpy(
                np.stack([tokens[start : start + length + 1] for start in starts])
            )
            self.bytes_per_token[note["source"]] = note["bytes"] / note["tokens"]

    def measure(self, decoder: Decoder, device: torch.device) -> dict[str, dict[str, float]]:
        """Per source: nats a token and bits a byte, every token with equal weight."""
        results = {}
        for name, windows in self.windows.items():
            total, count = 0.0, 0.0
            for start in range(0, len(windows), ROWS):
                batch = pack(windows[start : start + ROWS].numpy(), answer_weight=1.0)
                tokens = torch.from_numpy(batch.tokens.copy()).to(device)
                targets = torch.from_numpy(batch.targets.copy()).to(device)
                documents = torch.from_numpy(batch.documents).to(device)
                weights = torch.from_numpy((batch.weights > 0).astype(np.float32)).to(device)
                hidden = decoder.hidden(tokens, documents)
                total += float(decoder.loss(hidden, targets, weights))
                count += float(weights.sum())
            nats = total / count
            bits = nats / math.log(2) / self.bytes_per_token[name]
            results[name] = {"nats_per_token": round(nats, 4), "bits_per_byte": round(bits, 4)}
        return results
