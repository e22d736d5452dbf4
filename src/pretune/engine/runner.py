"""The runner: one step of a plan through the base, as one row of tokens."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pretune.adapters.injection import NO_SLOT, Injection, Routing
from pretune.engine.fused import fused_decoder
from pretune.engine.paged import Group, KVBlocks, Paged, Span, paged_attention
from pretune.engine.scheduler import Piece
from pretune.engine.slots import Slots
from pretune.engine.trie import OptionTrie


class Ran(NamedTuple):
    """Logits ``(rows, vocabulary)`` after the pieces that end their sequence's tokens, in their
    order: ``sizes`` rows each, one, or for a scoring one its prompt's end and its nodes."""

    pieces: list[Piece]
    logits: Tensor
    sizes: list[int]

    def split(self) -> tuple[Tensor, ...]:
        """The logits of each piece."""
        return self.logits.split(self.sizes) if self.sizes else ()


class Runner:
    """Turns pieces into tensors. Holds the blocks' memory and no state of any request."""

    def __init__(self, injection: Injection, slots: Slots, blocks: KVBlocks, block: int) -> None:
        self._injection = injection
        self._slots = slots
        self._blocks = blocks
        self._block = block
        self._fused = fused_decoder(injection.base)

    @torch.no_grad()
    def run(self, pieces: Sequence[Piece]) -> Ran:
        """Write ``pieces`` into their blocks, and compute what follows those that are complete."""
        ordered = self._ordered(pieces)
        device = self._injection.base.device
        firsts = [0]
        for piece in ordered:
            firsts.append(firsts[-1] + len(piece))
        ids = torch.tensor([self._ids(ordered)], device=device)
        positions = torch.tensor([self._positions(ordered)], device=device)
        paged = self._paged(ordered, firsts, positions[0])
        with self._injection.routed(self._routing(ordered)):
            hidden, head = self._hidden(ids, positions, paged)
            ending = [i for i, p in enumerate(ordered) if p.stop == len(p.sequence.ids)]
            if not ending:
                return Ran([], hidden, [])
            rows, sizes = self._wanted(ordered, firsts, ending)
            index = torch.tensor(rows, device=device)
            with self._injection.narrowed(index):
                logits = head(hidden[index])
        return Ran([ordered[i] for i in ending], logits, sizes)

    def _hidden(
        self, ids: Tensor, positions: Tensor, paged: Paged
    ) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Last hidden states ``(N, hidden)`` under the routing in force, and the head for them."""
        base, fused = self._injection.base, self._fused
        if fused is not None and not paged.spans and fused.hooks == self._injection.hooks:
            edits = self._injection.linear_edits()
            if edits is not None:
                return fused(ids[0], positions[0], paged, edits), fused.head
        with paged_attention(base):
            hidden: Tensor = base.backbone(
                ids, position_ids=positions, use_cache=False, paged=paged
            ).last_hidden_state[0]
        return hidden, base.head

    def _ordered(self, pieces: Sequence[Piece]) -> list[Piece]:
        """Single tokens first, by the number of blocks they see, so that near ones form a group;
        then pieces by slot, so that the rows of an adapter stand in one run."""

        def order(piece: Piece) -> tuple[int, int]:
            if _single(piece):
                return (0, len(piece.sequence.blocks))
            return (1, self._slot(piece))

        return sorted(pieces, key=order)

    def _slot(self, piece: Piece) -> int:
        name = piece.sequence.request.adapter
        if name is None or not piece.sequence.holds_slot:
            return NO_SLOT
        return self._slots.mounted(name).slot

    def _ids(self, pieces: Iterable[Piece]) -> list[int]:
        ids: list[int] = []
        for piece in pieces:
            ids += piece.sequence.ids[piece.start : piece.stop]
            if piece.scores:
                ids += _trie(piece).ids.tolist()
        return ids

    def _positions(self, pieces: Iterable[Piece]) -> list[int]:
        positions: list[int] = []
        for piece in pieces:
            positions += range(piece.start, piece.stop)
            if piece.scores:
                positions += [piece.stop - 1 + depth for depth in _trie(piece).depth.tolist()]
        return positions

    def _routing(self, pieces: Iterable[Piece]) -> Routing:
        slots: list[int] = []
        virtual: list[int] = []
        for piece in pieces:
            sequence, slot = piece.sequence, self._slot(piece)
            routed = sequence.routed[piece.start : piece.stop]
            slots += [slot if one else NO_SLOT for one in routed]
            virtual += sequence.virtual[piece.start : piece.stop]
            if piece.scores:
                slots += [slot if sequence.adapts_decode else NO_SLOT] * sequence.nodes
                virtual += [-1] * sequence.nodes
        return Routing(torch.tensor([slots]), torch.tensor([virtual]))

    def _paged(self, pieces: Sequence[Piece], firsts: Sequence[int], positions: Tensor) -> Paged:
        device, block = positions.device, self._block
        places: list[int] = []
        spans: list[Span] = []
        singles: list[Piece] = []
        for piece, first in zip(pieces, firsts, strict=False):
            blocks = piece.sequence.blocks
            last = first + len(piece)
            places += [
                blocks[place // block] * block + place % block
                for place in range(piece.start, piece.start + len(piece))
            ]
            if _single(piece):
                singles.append(piece)
                continue
            table = torch.tensor(blocks[: -(-(piece.start + len(piece)) // block)], device=device)
            tree = _trie(piece).ancestors.to(device) if piece.scores else None
            spans.append(Span(first, last, piece.start, table, tree, positions[first:last]))
        return Paged(
            self._blocks,
            torch.tensor(places, device=device),
            tuple(self._groups(singles, device)),
            tuple(spans),
        )

    def _groups(self, singles: Sequence[Piece], device: torch.device) -> Iterable[Group]:
        """Neighbours whose number of blocks is alike: padding at most doubles what is read."""
        start, blank = 0, [self._blocks.blank]
        while start < len(singles):
            most = 2 * len(singles[start].sequence.blocks)
            stop = start
            while stop < len(singles) and len(singles[stop].sequence.blocks) <= most:
                stop += 1
            own = singles[start:stop]
            width = max(len(piece.sequence.blocks) for piece in own)
            table = [
                piece.sequence.blocks + blank * (width - len(piece.sequence.blocks))
                for piece in own
            ]
            yield Group(
                start,
                stop,
                torch.tensor(table, device=device).flatten(),
                torch.tensor([piece.stop for piece in own], device=device),
                width * self._block,
            )
            start = stop

    @staticmethod
    def _wanted(
        pieces: Sequence[Piece], firsts: Sequence[int], ending: Sequence[int]
    ) -> tuple[list[int], list[int]]:
        """Rows whose logits are wanted, and how many belong to each ending piece."""
        rows: list[int] = []
        sizes: list[int] = []
        for i in ending:
            piece = pieces[i]
            end = firsts[i] + piece.stop - piece.start
            size = 1 + (piece.sequence.nodes if piece.scores else 0)
            rows += range(end - 1, end - 1 + size)
            sizes.append(size)
        return rows, sizes


def _single(piece: Piece) -> bool:
    return len(piece) == 1


def _trie(piece: Piece) -> OptionTrie:
    assert piece.sequence.trie is not None
    return piece.sequence.trie
