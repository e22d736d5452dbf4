"""Token examples to padded batches, and the order in which training sees them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from pretune.core.records import TokenExample
from pretune.core.scope import Scope, lay_out

IGNORED = -100
"""Label of a position at which nothing is learned; what PyTorch's cross-entropy leaves out."""

_WINDOW = 50
"""Batches whose rows are sorted by length together: little padding, and still a random order."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded on the right; B rows of T positions, virtual tokens included.

    ``input_ids`` (B, T) long. ``labels`` (B, T) long: the token to be predicted *at* a position,
    which is the next one if the model is to write it, else -100. ``routed`` (B, T) bool: the
    adapter applies. ``virtual`` (B, T) long: index of the virtual token, -1 for a real one.
    ``attention_mask`` (B, T) bool: not padding.
    """

    input_ids: Tensor
    labels: Tensor
    routed: Tensor
    virtual: Tensor
    attention_mask: Tensor
    row_ids: tuple[str, ...]

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on ``device``."""
        moved: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            moved[item.name] = value.to(device) if isinstance(value, Tensor) else value
        return Batch(**moved)

    def __len__(self) -> int:
        return len(self.row_ids)

    @property
    def target_tokens(self) -> int:
        """Positions at which something is learned."""
        return int((self.labels != IGNORED).sum())


def collate(
    examples: Sequence[TokenExample], scope: Scope, virtual_tokens: int = 0, pad_id: int = 0
) -> Batch:
    """One batch of ``examples`` for an adapter of ``scope`` that has ``virtual_tokens``.

    All that the model wrote is learned, earlier answers of a chat included.

    Raises:
        ScopeError: scope ``suffix`` for a prompt without context.
    """
    layouts = [lay_out(example.segments, scope, virtual_tokens) for example in examples]
    shape = (len(layouts), max(map(len, layouts)))
    input_ids = torch.full(shape, pad_id)
    labels = torch.full(shape, IGNORED)
    virtual = torch.full(shape, -1)
    routed = torch.zeros(shape, dtype=torch.bool)
    attention_mask = torch.zeros(shape, dtype=torch.bool)
    for row, layout in enumerate(layouts):
        length = len(layout)
        ids = torch.tensor(layout.ids)
        written = torch.tensor(layout.written)
        input_ids[row, :length] = ids
        labels[row, : length - 1] = ids[1:].masked_fill(~written[1:], IGNORED)
        virtual[row, :length] = torch.tensor(layout.virtual)
        routed[row, :length] = torch.tensor(layout.routed)
        attention_mask[row, :length] = True
    row_ids = tuple(example.row_id for example in examples)
    return Batch(input_ids, labels, routed, virtual, attention_mask, row_ids)


class LengthBuckets:
    """The order of rows: batches of similar lengths, shuffled, the same for a seed and an epoch.

    Nothing but ``seed`` and ``epoch`` decides, so a resumed run sees what it would have seen.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths = tuple(lengths)
        self._batch_size = batch_size
        self._seed = seed

    def __len__(self) -> int:
        """Batches in an epoch; the last one may be smaller than the others."""
        return -(-len(self._lengths) // self._batch_size)

    def batches(self, epoch: int) -> list[list[int]]:
        """Indices of the rows, batch by batch; every row once."""
        order = random.Random(f"{self._seed}/{epoch}")
        rows = list(range(len(self._lengths)))
        order.shuffle(rows)
        window = _WINDOW * self._batch_size
        found = []
        for start in range(0, len(rows), window):
            near = sorted(rows[start : start + window], key=self._lengths.__getitem__)
            found += [near[i : i + self._batch_size] for i in range(0, len(near), self._batch_size)]
        order.shuffle(found)
        return found
