"""An engine that can be looked into: the logits and the cache of every request."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pretune.adapters.adapter import Adapter
from pretune.bases import Base
from pretune.core.records import Completion, Request
from pretune.engine.engine import Engine, Size
from pretune.engine.runner import Ran
from pretune.engine.scheduler import Piece
from pretune.engine.sequence import Sequence as Running

SMALL = Size(blocks=96, block=4, slots=3, tokens=64, sequences=16)


class Probe(Engine):
    """Keeps, by request id, the logits that chose each token, and keys and values at the end."""

    def __init__(
        self, base: Base, load: Callable[[str], Adapter] | None = None, size: Size = SMALL
    ) -> None:
        super().__init__(base, base.renderer.end_ids, load, size)
        self.logits: dict[str, list[Tensor]] = {}
        self.kv: dict[str, Tensor] = {}
        self.pieces: list[Sequence[Piece]] = []
        self._block = size.block
        run = self._runner.run

        def recorded(pieces: Sequence[Piece]) -> Ran:
            ran = run(pieces)
            self.pieces.append(pieces)
            for piece, logits in zip(ran.pieces, ran.split(), strict=True):
                sequence = piece.sequence
                self.logits.setdefault(sequence.request.id, []).append(logits[0].clone())
                self.kv[sequence.request.id] = self._read(sequence, piece.stop)
            return ran

        self._runner.run = recorded

    def _read(self, sequence: Running, length: int) -> Tensor:
        """Keys and values of a sequence, ``(2, layers, kv_heads, length, head_dim)``."""
        table = torch.tensor(sequence.blocks, device=self.base.device)
        layers = range(len(self._memory.layers))
        known = torch.stack([self._memory.read(layer, table) for layer in layers])
        return known[:, :length].permute(2, 0, 3, 1, 4)

    def finish(self, *requests: Request) -> dict[str, Completion]:
        """Submit ``requests`` together and run to the end, the books checked after every step."""
        for request in requests:
            self.submit(request)
        done: dict[str, Completion] = {}
        while self.busy:
            for output in self.step():
                if output.done is not None:
                    done[output.request_id] = output.done
            self.check()
        return done

    def preempt(self) -> None:
        """Take its blocks from the youngest running sequence, as a full cache would."""
        if self._scheduler.running:
            self._scheduler._preempt([])
