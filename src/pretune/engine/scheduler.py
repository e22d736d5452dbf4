"""The scheduler: which tokens of which sequences the next step writes.

Decoding sequences go first, one token each; what room is left takes pieces of prompts, in the
queue's order. When blocks run out, the youngest running sequence gives its own back and waits again
at its old turn, to be written again from its tokens (most of them found in kept blocks).
"""

import time
from collections.abc import Iterator
from typing import NamedTuple

from pretune.core.errors import PretuneError, SpecError
from pretune.engine.blocks import BlockPool, Key, OutOfBlocks
from pretune.engine.queue import FairQueue
from pretune.engine.sequence import Sequence
from pretune.engine.slots import Slots


class Limits(NamedTuple):
    """``tokens`` in one step, ``sequences`` running at a time, ``block`` tokens in a block, and
    tokens of prompt and answer that the base can tell apart (its ``context``)."""

    tokens: int = 2048
    sequences: int = 64
    block: int = 16
    context: int = 2**31


class Piece(NamedTuple):
    """Tokens ``start`` to ``stop`` of a sequence, written in one step; with ``scores`` the scratch
    tokens of its options come right behind."""

    sequence: Sequence
    start: int
    stop: int
    scores: bool = False

    def __len__(self) -> int:
        return self.stop - self.start + (self.sequence.nodes if self.scores else 0)


class Scheduler:
    """Sequences waiting and running. Not thread-safe."""

    def __init__(self, pool: BlockPool, slots: Slots, limits: Limits, root: Key) -> None:
        self.waiting = FairQueue()
        self.running: list[Sequence] = []
        self.preemptions = 0
        self.reused_tokens = 0
        self._pool, self._slots, self._limits, self._root = pool, slots, limits, root

    def add(self, sequence: Sequence) -> None:
        """Queue a new sequence."""
        self.waiting.add(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Take out a sequence in whatever state, with all it holds."""
        if sequence in self.running:
            self.running.remove(sequence)
        else:
            self.waiting.remove(sequence)
        self._give_back(sequence)

    def plan(self) -> tuple[list[Piece], list[tuple[Sequence, PretuneError]]]:
        """The pieces of the next step, blocks and slots held for them; and sequences that cannot be
        served, each with the reason, already taken out."""
        pieces: list[Piece] = []
        room, before = self._limits.tokens, self.preemptions
        for sequence in [*self._decoding(), *self._prefilling()]:
            if sequence in self.running:  # and not preempted in this very step
                room -= self._extend(sequence, room, pieces)
        if self.preemptions > before:
            return pieces, []
        return pieces, self._admit(room, pieces)

    def written(self, piece: Piece) -> None:
        """Take note that a planned piece stands in its blocks; complete ones become known."""
        sequence, block = piece.sequence, self._limits.block
        first, sequence.written = sequence.written // block, piece.stop
        for index in range(first, sequence.written // block):
            self._pool.name(sequence.blocks[index], sequence.key(index, block, self._root))
        if sequence.holds_slot and not sequence.needs_slot():
            self._release_slot(sequence)

    def _decoding(self) -> list[Sequence]:
        return [s for s in self.running if s.generated and s.remaining == 1]

    def _prefilling(self) -> list[Sequence]:
        return [s for s in self.running if not (s.generated and s.remaining == 1)]

    def _extend(self, sequence: Sequence, room: int, pieces: list[Piece]) -> int:
        """Plan the next piece of a running sequence within ``room``; returns its tokens."""
        count = min(sequence.remaining, room)
        if count <= 0:
            return 0
        stop = sequence.written + count
        scores = sequence.trie is not None and stop == len(sequence.ids)
        piece = Piece(sequence, sequence.written, stop, scores)
        while True:
            try:
                self._cover(sequence, piece.start + len(piece))
                break
            except OutOfBlocks:
                if self._preempt(pieces) is sequence:
                    return 0
        pieces.append(piece)
        return len(piece)

    def _cover(self, sequence: Sequence, tokens: int) -> None:
        while len(sequence.blocks) * self._limits.block < tokens:
            sequence.blocks.append(self._pool.take())

    def _preempt(self, pieces: list[Piece]) -> Sequence:
        """The youngest running sequence gives way, with what was planned for it."""
        victim = self.running.pop()
        pieces[:] = [piece for piece in pieces if piece.sequence is not victim]
        self._give_back(victim)
        self.waiting.put_back(victim)
        self.preemptions += 1
        return victim

    def _give_back(self, sequence: Sequence) -> None:
        self._pool.release(sequence.blocks)
        sequence.blocks.clear()
        sequence.written = 0
        if sequence.holds_slot:
            self._release_slot(sequence)

    def _release_slot(self, sequence: Sequence) -> None:
        assert sequence.request.adapter is not None
        sequence.holds_slot = False
        self._slots.release(sequence.request.adapter)

    def _admit(self, room: int, pieces: list[Piece]) -> list[tuple[Sequence, PretuneError]]:
        """Start waiting sequences, in the queue's order, while there is room.

        One whose adapter is still coming, or whose beginning another is just writing, lets others
        pass; one that lacks blocks does not, so that large prompts are not starved by small ones.
        """
        failed: list[tuple[Sequence, PretuneError]] = []
        for sequence in list(self._candidates()):
            if room <= 0 or len(self.running) >= self._limits.sequences:
                break
            try:
                if not self._open(sequence):
                    continue
            except PretuneError as error:
                self.waiting.remove(sequence)
                failed.append((sequence, error))
                continue
            found = self._known_beginning(sequence)
            if found is None:
                continue
            total = len(sequence.ids) + sequence.nodes
            needed = -(-total // self._limits.block) - len(found)
            idle = sum(1 for block in found if self._pool.is_kept(block))
            if self.running and needed > self._pool.available - idle:
                break
            self.waiting.let_in(sequence)
            self._start(sequence, found)
            room -= self._extend(sequence, room, pieces)
        return failed

    def _candidates(self) -> Iterator[Sequence]:
        """Waiting sequences, but only those of the first few adapters, so that the slots of the
        first requests are not given to later ones before they were used."""
        wanted: set[str] = set()
        for sequence in self.waiting:
            name = sequence.request.adapter
            if name is not None and name not in wanted:
                if len(wanted) == self._slots.size:
                    continue
                wanted.add(name)
            yield sequence

    def _open(self, sequence: Sequence) -> bool:
        """Whether the adapter, if any, is in a slot; lays the prompt out the first time."""
        name = sequence.request.adapter
        adapter = None
        if name is not None:
            loads = self._slots.loads
            adapter = self._slots.ready(name, sequence.adapter, sequence.arrived)
            if adapter is None or self._slots.loads > loads:
                sequence.fetched = True
            if adapter is None:
                return False
        if not sequence.opened:
            sequence.open(adapter)
            self._check_size(sequence)
        return True

    def _check_size(self, sequence: Sequence) -> None:
        most = min(self._pool.size * self._limits.block, self._limits.context)
        new = sequence.nodes if sequence.trie else sequence.request.max_new_tokens
        wanted = sequence.prompt + new
        if wanted > most:
            raise TooLong(
                f'request "{sequence.request.id}" needs room for {wanted} tokens of prompt and '
                f"answer, and the base and its cache hold {most}; shorten it, ask for fewer new "
                "tokens, or give the engine more blocks"
            )

    def _known_beginning(self, sequence: Sequence) -> list[int] | None:
        """Blocks that hold the sequence's beginning already; ``None`` if another sequence is just
        writing more of it, so that waiting is cheaper than writing it twice."""
        block = self._limits.block
        found: list[int] = []
        # The last token is always written anew: its logits are what comes next.
        for index in range((len(sequence.ids) - 1) // block):
            key = sequence.key(index, block, self._root)
            known = self._pool.find(key)
            if known is None:
                return None if self._being_written(key, index) else found
            found.append(known)
        return found

    def _being_written(self, key: Key, index: int) -> bool:
        block = self._limits.block
        return any(
            other.prompt // block > index and other.key(index, block, self._root) == key
            for other in self.running
            if other.written < other.prompt
        )

    def _start(self, sequence: Sequence, found: list[int]) -> None:
        for block in found:
            self._pool.hold(block)
        sequence.blocks = found
        sequence.written = len(found) * self._limits.block
        self.reused_tokens += sequence.written
        if sequence.began is None:
            sequence.began, sequence.reused = time.monotonic(), sequence.written
        self.running.append(sequence)
        name = sequence.request.adapter
        if name is not None and sequence.needs_slot():
            self._slots.hold(name)
            sequence.holds_slot = True


class TooLong(SpecError):
    """A request that can never fit the cache."""
