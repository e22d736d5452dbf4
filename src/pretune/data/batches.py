"""Token examples to padded batches, and the order in which training sees them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pretune.core.records import TokenExample
from pretune.core.scope import Layout, Scope, lay_out

NO_TARGET = -100
"""Label of a position after which the model is not to write."""

_WINDOW = 50
"""Batches within which rows are sorted by length: wide enough to pad little, narrow enough that an
epoch stays shuffled."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows padded on the right; all tensors are ``(B, T)`` on the CPU.

    ``labels[b, t]`` is the token that position ``t`` is to predict, or :data:`NO_TARGET`.
    ``routed``: the adapter applies. ``virtual``: index of the virtual token, -1 for a real one.
    """

    input_ids: Tensor
    labels: Tensor
    routed: Tensor
    virtual: Tensor
    row_ids: tuple[str, ...]

    @property
    def targets(self) -> int:
        """Number of tokens that the loss is taken over."""
        return int((self.labels != NO_TARGET).sum())


def collate(
    examples: Sequence[TokenExample], scope: Scope, virtual_tokens: int, pad_id: int
) -> Batch:
    """One batch; the layout of every row is :func:`pretune.core.scope.lay_out`'s."""
    layouts = [lay_out(example.segments, scope, virtual_tokens) for example in examples]
    shape = len(layouts), max(map(len, layouts))
    batch = Batch(
        input_ids=torch.full(shape, pad_id),
        labels=torch.full(shape, NO_TARGET),
        routed=torch.zeros(shape, dtype=torch.bool),
        virtual=torch.full(shape, -1),
        row_ids=tuple(example.row_id for example in examples),
    )
    for row, layout in enumerate(layouts):
        length = len(layout)
        batch.input_ids[row, :length] = torch.tensor(layout.ids)
        batch.labels[row, :length] = torch.tensor(_labels(layout))
        batch.routed[row, :length] = torch.tensor(layout.routed)
        batch.virtual[row, :length] = torch.tensor(layout.virtual)
    return batch


def _labels(layout: Layout) -> list[int]:
    following = zip(layout.ids[1:], layout.written[1:], strict=True)
    return [token if written else NO_TARGET for token, written in following] + [NO_TARGET]


class LengthBuckets:
    """Batches of rows of similar length, in an order that depends on seed and epoch alone."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths = lengths
        self._batch_size = batch_size
        self._seed = seed

    def __len__(self) -> int:
        """Batches of an epoch."""
        return -(-len(self._lengths) // self._batch_size)

    def batches(self, epoch: int) -> list[list[int]]:
        """Row indices of each batch of ``epoch``; every row once."""
        order = list(range(len(self._lengths)))
        shuffler = random.Random(f"{self._seed}/{epoch}")
        shuffler.shuffle(order)
        window = self._batch_size * _WINDOW
        batches: list[list[int]] = []
        for start in range(0, len(order), window):
            rows = sorted(order[start : start + window], key=self._lengths.__getitem__)
            batches += [
                rows[i : i + self._batch_size] for i in range(0, len(rows), self._batch_size)
            ]
        shuffler.shuffle(batches)
        return batches
