"""Keys and values in blocks, and the attention that reads them.

It is registered with ``transformers`` as one more attention function, so that every family runs on
its own model code: the tokens of all sequences of a step stand in one row, and only attention needs
to know which of them belong together.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface

from pretune.bases import Base

_NAME = "pretune_paged"


class KVBlocks:
    """The device memory of all blocks: per layer keys and values ``(kv_heads, blocks + 1, B, d)``.

    The last block, :attr:`blank`, is never written: it stands where a table is padded. It and the
    unwritten part of any block are zeros, not whatever memory held: attention weighs what a
    sequence does not see with zero, but zero times NaN is NaN.
    """

    def __init__(self, base: Base, blocks: int, block: int) -> None:
        anatomy = base.anatomy
        self.blank = blocks
        shape = (anatomy.kv_heads, blocks + 1, block, anatomy.head_dim)
        self.keys, self.values = (
            [
                torch.zeros(shape, dtype=base.model.dtype, device=base.device)
                for _ in range(anatomy.layers)
            ]
            for _ in range(2)
        )

    def clear(self, blocks: list[int]) -> None:
        """Zero ``blocks`` that another sequence may have written."""
        index = torch.tensor(blocks, device=self.keys[0].device)
        for pool in (*self.keys, *self.values):
            pool.index_fill_(1, index, 0)

    def write(self, layer: int, keys: Tensor, values: Tensor, places: Tensor) -> None:
        """Put ``keys`` and ``values (kv_heads, N, d)`` at the flat token ``places (N,)``."""
        for pool, new in ((self.keys[layer], keys), (self.values[layer], values)):
            pool.flatten(1, 2).index_copy_(1, places, new.to(pool.dtype))

    def read(self, layer: int, table: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values ``(kv_heads, n * B, d)`` of the blocks ``table (n,)``, in a copy."""
        keys, values = (
            pool[layer].index_select(1, table).flatten(1, 2) for pool in (self.keys, self.values)
        )
        return keys, values


class Group(NamedTuple):
    """Sequences with one token each, rows ``first`` to ``first + len(lengths)`` of the step; their
    blocks are ``table (n * blocks,)``, padded to the same number, and ``lengths (n,)`` count the
    tokens that each sees."""

    first: int
    table: Tensor
    lengths: Tensor


class Span(NamedTuple):
    """One sequence's piece: rows ``first`` to ``last`` of the step are its tokens from ``start``
    on; its blocks are ``table``. ``tree (nodes, nodes)`` says which of the scratch tokens at the
    end see which; ``None``: there are none. Windows go by ``positions (last - first,)``."""

    first: int
    last: int
    start: int
    table: Tensor
    tree: Tensor | None
    positions: Tensor


@dataclass(frozen=True, eq=False)
class Paged:
    """What attention needs to know of one step: where its rows go and what they see."""

    blocks: KVBlocks
    places: Tensor
    groups: tuple[Group, ...]
    spans: tuple[Span, ...]


@contextmanager
def paged_attention(base: Base) -> Iterator[None]:
    """Run ``base`` with attention over blocks in this block of code."""
    config = base.model.config.get_text_config(decoder=True)
    before = config._attn_implementation
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = before


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    *,
    paged: Paged,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_ignored: Any,
) -> tuple[Tensor, None]:
    """``query (1, heads, N, d)``, ``key`` and ``value (1, kv_heads, N, d)`` of a step's rows to
    their mixed values ``(1, N, heads, d)``."""
    layer = module.layer_idx
    paged.blocks.write(layer, key[0], value[0], paged.places)
    kv_heads, rows, width = key.shape[1:]
    # The query heads of one key head stand together; they are rows of one product.
    queries = query[0].unflatten(0, (kv_heads, -1))
    mixed = query.new_empty(rows, kv_heads, queries.shape[1], width)
    score = _Score(scaling, softcap)
    for group in paged.groups:
        count = len(group.lengths)
        own = slice(group.first, group.first + count)
        keys, values = (
            read.unflatten(1, (count, -1)) for read in paged.blocks.read(layer, group.table)
        )
        places = torch.arange(keys.shape[2], device=keys.device)
        seen = places < group.lengths[:, None]
        if sliding_window is not None:
            seen &= places >= group.lengths[:, None] - sliding_window
        # (kv_heads, sequences, heads of one key head, d)
        found = score(queries[:, :, own].transpose(1, 2), keys, values, seen[None, :, None])
        mixed[own] = found.transpose(0, 1)
    for span in paged.spans:
        own = slice(span.first, span.last)
        sees: Tensor | None = None
        if span.start == 0 and span.tree is None and sliding_window is None:
            keys, values = key[0, :, own], value[0, :, own]
        else:
            keys, values = paged.blocks.read(layer, span.table)
            sees = _visible(span, sliding_window)
            keys, values = keys[:, : sees.shape[1]], values[:, : sees.shape[1]]
        heads = queries.shape[1]
        found = score(
            queries[:, :, own],
            keys[:, None].expand(-1, heads, -1, -1),
            values[:, None].expand(-1, heads, -1, -1),
            sees,
        )
        mixed[own] = found.permute(2, 0, 1, 3)
    return mixed.flatten(1, 2)[None], None


def _visible(span: Span, window: int | None) -> Tensor:
    """Which of the sequence's tokens each row of ``span`` sees, ``(rows, tokens)``."""
    rows, device = span.last - span.first, span.positions.device
    total = span.start + rows
    nodes = 0 if span.tree is None else len(span.tree)
    place = torch.arange(total, device=device)
    sees = place <= place[span.start :, None]
    position = place
    if span.tree is not None and nodes:
        sees[rows - nodes :, total - nodes :] = span.tree
        position = torch.cat([place[: total - nodes], span.positions[rows - nodes :]])
    if window is not None:
        sees &= position > span.positions[:, None] - window
    return sees


class _Score(NamedTuple):
    """Scaled dot products, capped where a family caps them."""

    scaling: float | None
    softcap: float | None

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, sees: Tensor | None) -> Tensor:
        """``(..., rows, d)`` by ``(..., tokens, d)``; no ``sees``: each row sees up to itself."""
        if self.softcap is None:
            return F.scaled_dot_product_attention(
                query, key, value, attn_mask=sees, is_causal=sees is None, scale=self.scaling
            )
        scale = self.scaling or query.shape[-1] ** -0.5
        scores = query @ key.transpose(-1, -2) * scale
        scores = torch.tanh(scores / self.softcap) * self.softcap
        if sees is None:
            sees = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        shares = scores.masked_fill(~sees, -torch.inf).softmax(-1, dtype=torch.float32)
        return shares.to(value.dtype) @ value


AttentionInterface.register(_NAME, _attend)
