"""Keys and values in blocks, and the attention that reads them.

It is registered with ``transformers`` as one more attention function, so that every family runs on
its own model code: the tokens of all sequences of a step stand in one row, and only attention needs
to know which of them belong together.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface

from pretune.bases import Base
from pretune.engine.masks import additive

_NAME = "pretune_paged"


class KVBlocks:
    """The device memory of all blocks: per layer ``(blocks + 2, B, 2, kv_heads, d)``, keys and
    values of a token side by side, so that a block is read and a token written in one piece.

    Two blocks are nobody's. :attr:`blank` is never written: it stands where a table is padded. It
    and the unwritten part of any block are zeros, not whatever memory held: attention weighs what a
    sequence does not see with zero, but zero times NaN is NaN. :attr:`scratch` is what rows write
    that only fill a step up.
    """

    def __init__(self, base: Base, blocks: int, block: int) -> None:
        anatomy = base.anatomy
        self.block = block
        self.blank, self.scratch = blocks, blocks + 1
        shape = (blocks + 2, block, 2, anatomy.kv_heads, anatomy.head_dim)
        self.layers = [
            torch.zeros(shape, dtype=base.model.dtype, device=base.device)
            for _ in range(anatomy.layers)
        ]

    def clear(self, blocks: list[int]) -> None:
        """Zero ``blocks`` that another sequence may have written."""
        index = torch.tensor(blocks, device=self.layers[0].device)
        for pool in self.layers:
            pool.index_fill_(0, index, 0)

    def write(self, layer: int, new: Tensor, places: Tensor) -> None:
        """Put keys and values ``new (N, 2, kv_heads, d)`` at the flat token ``places (N,)``."""
        pool = self.layers[layer]
        pool.flatten(0, 1).index_copy_(0, places, new.to(pool.dtype))

    def read(self, layer: int, table: Tensor) -> Tensor:
        """Keys and values ``(n * B, 2, kv_heads, d)`` of the blocks ``table (n,)``, in a copy."""
        return self.layers[layer].index_select(0, table).flatten(0, 1)


class Group(NamedTuple):
    """Sequences with one token each, rows ``first`` to ``last`` of the step; their blocks are
    ``table (n * blocks,)``, padded to the same number, and ``lengths (n,)`` count the tokens that
    each sees, out of ``room``."""

    first: int
    last: int
    table: Tensor
    lengths: Tensor
    room: int

    def sees(self, window: int | None) -> Tensor:
        """Which tokens each row sees, ``(n, room)``."""
        places = torch.arange(self.room, device=self.lengths.device)
        seen = places < self.lengths[:, None]
        if window is not None:
            seen &= places >= self.lengths[:, None] - window
        return seen


class Span(NamedTuple):
    """One sequence's piece: rows ``first`` to ``last`` of the step are its tokens from ``start``
    on; its blocks are ``table``. ``tree (nodes, nodes)`` says which of the scratch tokens at the
    end see which; ``None``: there are none. Windows go by ``positions (last - first,)``.

    A span :attr:`whole` sees its own rows alone, each up to itself, and reads no block.
    """

    first: int
    last: int
    start: int
    table: Tensor
    tree: Tensor | None
    positions: Tensor

    @property
    def whole(self) -> bool:
        """Whether it is a sequence from its beginning, without scratch tokens."""
        return self.start == 0 and self.tree is None

    def sees(self, window: int | None) -> Tensor:
        """Which of the sequence's tokens each row sees, ``(rows, tokens)``."""
        rows, device = self.last - self.first, self.positions.device
        total = self.start + rows
        nodes = 0 if self.tree is None else len(self.tree)
        place = torch.arange(total, device=device)
        seen = place <= place[self.start :, None]
        position = place
        if self.tree is not None and nodes:
            seen[rows - nodes :, total - nodes :] = self.tree
            position = torch.cat([place[: total - nodes], self.positions[rows - nodes :]])
        if window is not None:
            seen &= position > self.positions[:, None] - window
        return seen


class Score(NamedTuple):
    """Scaled dot products, capped where a family caps them."""

    scaling: float | None = None
    softcap: float | None = None

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """``(n, heads, rows, d)`` by ``(n, kv_heads, tokens, d)``; ``mask`` is added to the scores.
        Without: each row sees up to itself."""
        shared = query.shape[1] != key.shape[1]
        if self.softcap is None:
            return F.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=mask,
                is_causal=mask is None,
                scale=self.scaling,
                enable_gqa=shared,
            )
        if shared:
            heads = query.shape[1] // key.shape[1]
            key, value = key.repeat_interleave(heads, 1), value.repeat_interleave(heads, 1)
        scale = self.scaling or query.shape[-1] ** -0.5
        scores = query @ key.transpose(-1, -2) * scale
        scores = torch.tanh(scores / self.softcap) * self.softcap
        if mask is None:
            square = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device)
            mask = additive(square.tril(), scores.dtype)
        shares = (scores + mask).softmax(-1, dtype=torch.float32)
        return shares.to(value.dtype) @ value


@dataclass(frozen=True, eq=False)
class Paged:
    """What attention needs to know of one step: where its rows go and what they see."""

    blocks: KVBlocks
    places: Tensor
    groups: tuple[Group, ...]
    spans: tuple[Span, ...]
    _masks: dict[tuple[int, int | None], Tensor] = field(default_factory=dict)

    def attend(
        self, layer: int, query: Tensor, new: Tensor, score: Score, window: int | None
    ) -> Tensor:
        """Write the keys and values ``new (N, 2, kv_heads, d)`` of the step's rows, and mix what
        their queries see: ``query (N, kv_heads, heads of one key head, d)``, and so the result."""
        self.blocks.write(layer, new, self.places)
        mixed = torch.empty_like(query, memory_format=torch.contiguous_format)
        for group in self.groups:
            own = slice(group.first, group.last)
            # (sequences, tokens, keys or values, kv_heads, d)
            known = self.blocks.read(layer, group.table).unflatten(0, (-1, group.room))
            keys, values = known.permute(2, 0, 3, 1, 4)
            seen = self._mask(group, window, query.dtype)
            mixed[own] = score(query[own], keys, values, seen[:, None, None])
        for span in self.spans:
            if window is None and span.whole:
                continue
            own = slice(span.first, span.last)
            mask = self._mask(span, window, query.dtype)
            known = self.blocks.read(layer, span.table)[: mask.shape[1]]
            keys, values = known.permute(1, 2, 0, 3)[:, :, None].expand(
                -1, -1, query.shape[2], -1, -1
            )
            found = score(query[own].permute(1, 2, 0, 3), keys, values, mask)
            mixed[own] = found.permute(2, 0, 1, 3)
        for first, last, length in self._wholes if window is None else ():
            own = slice(first, last)
            # (sequences, tokens, heads, d), and keys or values in between
            queries = query[own].unflatten(0, (-1, length)).flatten(2, 3).transpose(1, 2)
            keys, values = new[own].unflatten(0, (-1, length)).permute(2, 0, 3, 1, 4)
            found = score(queries, keys, values, None).transpose(1, 2)
            mixed[own] = found.flatten(0, 1).view_as(mixed[own])
        return mixed

    @cached_property
    def _wholes(self) -> list[tuple[int, int, int]]:
        """Runs of whole sequences of one length: first row, last row, and that length."""
        runs: list[tuple[int, int, int]] = []
        for span in self.spans:
            if not span.whole:
                continue
            length = span.last - span.first
            if runs and runs[-1][1:] == (span.first, length):
                runs[-1] = (runs[-1][0], span.last, length)
            else:
                runs.append((span.first, span.last, length))
        return runs

    def _mask(self, part: Group | Span, window: int | None, dtype: torch.dtype) -> Tensor:
        """What is added to the scores; made once for all layers with this window."""
        key = part.first, window
        if key not in self._masks:
            self._masks[key] = additive(part.sees(window), dtype)
        return self._masks[key]


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
    # The query heads of one key head stand together; they are rows of one product.
    queries = query[0].transpose(0, 1).unflatten(1, (key.shape[1], -1))
    new = torch.cat([key, value]).permute(2, 0, 1, 3)
    score = Score(scaling, softcap)
    mixed = paged.attend(module.layer_idx, queries, new, score, sliding_window)
    return mixed.flatten(1, 2)[None], None


AttentionInterface.register(_NAME, _attend)
