"""The runner: one step of a plan through the base, as one row of tokens."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pretune.adapters.injection import NO_SLOT, Injection, Routing
from pretune.engine.fused import fused_blocks
from pretune.engine.graphs import CudaCapture, DecodeGraphs, Row
from pretune.engine.paged import Group, KVBlocks, Paged, Span, paged_attention
from pretune.engine.scheduler import Piece
from pretune.engine.slots import Slots
from pretune.engine.trie import OptionTrie


class Ran(NamedTuple):
    """Logits ``(rows, vocabulary)`` after the pieces that end their sequence's tokens, in their
    order: ``sizes`` rows each, one, or for a scoring one its prompt's end and its nodes. They are
    good until the next step."""

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
        base = injection.base
        self._fused = fused_blocks(base)
        self.graphs = (
            DecodeGraphs(blocks, self._decode, CudaCapture(base.device))
            if base.device.type == "cuda"
            else None
        )

    @torch.no_grad()
    def run(self, pieces: Sequence[Piece]) -> Ran:
        """Write ``pieces`` into their blocks, and compute what follows those that are complete."""
        ordered = self._ordered(pieces)
        ending = [i for i, p in enumerate(ordered) if p.stop == len(p.sequence.ids)]
        firsts = [0]
        for piece in ordered:
            firsts.append(firsts[-1] + len(piece))
        rows, sizes = self._wanted(ordered, firsts, ending)
        with self._injection.routed(self._routing(ordered)):
            logits = self._replayed(ordered, rows)
            if logits is None:
                logits = self._computed(ordered, firsts, rows)
        return Ran([ordered[i] for i in ending], logits, sizes)

    def _replayed(self, pieces: Sequence[Piece], wanted: Sequence[int]) -> Tensor | None:
        """Logits of the rows ``wanted`` by a captured graph, if the step is decode of the base."""
        if self.graphs is None or not all(map(_single, pieces)):
            return None
        if self._injection.acts or not self._injection.alone:
            return None
        rows = [Row(p.sequence.ids[p.start], p.start, p.sequence.blocks) for p in pieces]
        logits = self.graphs.run(rows)
        if logits is None or len(wanted) == len(rows):
            return logits
        return logits[list(wanted)]

    def _computed(
        self, pieces: Sequence[Piece], firsts: Sequence[int], wanted: Sequence[int]
    ) -> Tensor:
        """Logits of the rows ``wanted`` under the routing in force."""
        device = self._injection.base.device
        ids = torch.tensor(self._ids(pieces), device=device)
        positions = torch.tensor(self._positions(pieces), device=device)
        hidden, head = self._hidden(ids, positions, self._paged(pieces, firsts, positions))
        if not wanted:
            return hidden[:0]
        index = torch.tensor(wanted)
        with self._injection.narrowed(index):
            return head(hidden[index.to(device)])

    def _decode(self, ids: Tensor, positions: Tensor, paged: Paged) -> Tensor:
        """Logits after every one of a step's single tokens, which no adapter touches."""
        hidden, head = self._hidden(ids, positions, paged)
        return head(hidden)

    def _hidden(
        self, ids: Tensor, positions: Tensor, paged: Paged
    ) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Last hidden states ``(N, hidden)`` under the routing in force, and the head for them."""
        base, fused = self._injection.base, self._fused
        if fused is not None and self._injection.alone:
            edits = self._injection.linear_edits()
            if edits is not None:
                return fused(ids, positions, paged, edits), fused.head
        with paged_attention(base):
            hidden: Tensor = base.backbone(
                ids[None], position_ids=positions[None], use_cache=False, paged=paged
            ).last_hidden_state[0]
        return hidden, base.head

    def _ordered(self, pieces: Sequence[Piece]) -> list[Piece]:
        """Single tokens first, by the number of blocks they see, so that near ones form a group;
        then pieces by slot, so that the rows of an adapter stand in one run, and runs of one length
        beside each other."""
        rows: Counter[int] = Counter()
        for piece in pieces:
            if not _single(piece):
                rows[self._slot(piece)] += len(piece)

        def order(piece: Piece) -> tuple[int, int, int]:
            if _single(piece):
                return (0, len(piece.sequence.blocks), 0)
            slot = self._slot(piece)
            return (1, rows[slot], slot)

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
