"""What the model sees when: token files, their weights by phase, and packed batches.

Every batch is a pure function of (seed, step, cursors); the cursors are the only state.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from chat import ASSISTANT_ID, BOS_ID, END_ID
from numpy.typing import NDArray

FIRST_MARKER, LAST_MARKER = 3, 6  # <|system|> .. <|context|>


@dataclass
class Batch:
    """One packed batch; every array is [rows, length]."""

    tokens: NDArray[np.int64]
    targets: NDArray[np.int64]
    documents: NDArray[np.int32]
    weights: NDArray[np.float32]


def answer_positions(tokens: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where the next token is one that the assistant writes, its `<|end|>` included."""
    columns = np.arange(tokens.shape[1])
    marker = (tokens >= FIRST_MARKER) & (tokens <= LAST_MARKER) | (tokens == BOS_ID)
    last = np.maximum.accumulate(np.where(marker, columns, 0), axis=1)
    role = np.take_along_axis(tokens, last, axis=1)
    return (role == ASSISTANT_ID) & (tokens != END_ID)


def pack(windows: NDArray[np.int64], answer_weight: float) -> Batch:
    """Inputs, targets, documents and loss weights of windows [rows, length + 1].

    The start of a document is not predicted; what the assistant says weighs `answer_weight`.
    """
    tokens, targets = windows[:, :-1], windows[:, 1:]
    documents = (tokens == BOS_ID).cumsum(axis=1).astype(np.int32)
    weights = np.where(answer_positions(tokens), answer_weight, 1.0)
    weights[targets == BOS_ID] = 0.0
    weights /= weights.sum()
    return Batch(tokens, targets, documents, weights.astype(np.float32))


class Stream:
    """One token file read in windows, round and round."""

    def __init__(self, path: Path, whole_rows: bool) -> None:
        self.tokens = np.memmap(path, dtype=np.uint16, mode="r")
        self.whole_rows = whole_rows

    def window(self, start: int, length: int) -> tuple[NDArray[np.int64], int]:
        """`length` tokens from `start`, and where the next window starts.

        With `whole_rows` a row that was cut at the end of this window starts the next one.
        """
        if start + length > len(self.tokens):
            start = 0
        window = self.tokens[start : start + length].astype(np.int64)
        next_start = start + length - 1
        if self.whole_rows:
            starts = np.flatnonzero(window == BOS_ID)
            if len(starts) and starts[-1] > 0:
                next_start = start + int(starts[-1])
        return window, next_start


class Mixture:
    """Weighted choice of a source for every row of every batch."""

    def __init__(self, folder: Path, weights_file: Path, seed: int) -> None:
        phases = json.loads(weights_file.read_text(encoding="utf-8"))
        self.phases: dict[str, dict[str, float]] = phases["phases"]
        self.seed = seed
        names = sorted({name for weights in self.phases.values() for name in weights})
        whole = set(phases["whole_rows"])
        self.streams = {name: Stream(folder / f"{name}.bin", name in whole) for name in names}
        self.cursors: dict[str, int] = dict.fromkeys(names, 0)
        self.seen: dict[str, int] = dict.fromkeys(names, 0)

    def batch(self, phase: str, step: int, rows: int, length: int) -> NDArray[np.int64]:
        """Windows [rows, length + 1] for one step."""
        weights = self.phases[phase]
        shares = np.array(list(weights.values()))
        draw = np.random.default_rng((self.seed, step))
        chosen = draw.choice(list(weights), size=rows, p=shares / shares.sum())
        windows = []
        for name in map(str, chosen):
            window, self.cursors[name] = self.streams[name].window(self.cursors[name], length + 1)
            self.seen[name] += length
            windows.append(window)
        return np.stack(windows)
