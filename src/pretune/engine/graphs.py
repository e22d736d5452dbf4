"""Decode as captured graphs: on a CUDA device a step is hundreds of small kernels, and starting
them one by one takes longer than running them.

One graph a bucket of rows and blocks, made when the first step of that size comes. Rows that only
fill a bucket up write to a scratch block. A graph knows the base alone: what decodes with tasks and
what decodes without is the same graph.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from pretune.engine.paged import Group, KVBlocks, Paged


class Row(NamedTuple):
    """One sequence's ``token``, which stands at ``position`` and sees what its ``blocks`` hold up
    to itself."""

    token: int
    position: int
    blocks: Sequence[int]


class Decode(Protocol):
    """The base on single tokens: logits ``(N, vocabulary)`` after ``ids (N,)`` at ``positions
    (N,)``, whose keys and values are written. Reads no number back from the device."""

    def __call__(self, ids: Tensor, positions: Tensor, paged: Paged) -> Tensor:
        """See the class."""


Replay = Callable[[], Tensor]

Capture = Callable[[Replay], Replay]
"""From a run over fixed memory to what repeats it; the same tensor is returned at every repeat.

Raises:
    RuntimeError: it cannot be captured.
"""

_ROWS = 8
"""Beyond so many rows, buckets are multiples of it; up to it, powers of two."""

_LEAST_WIDTH = 8
"""Blocks of a sequence in the smallest bucket; beyond, powers of two."""

_MOST_PADDING = 4
"""Times as many blocks as there are that a step may read for the sake of its bucket ..."""

_SMALL = 1024
"""... where it reads more than so many."""


class _Bucket(NamedTuple):
    inputs: Tensor
    replay: Replay


class DecodeGraphs:
    """The graphs of one engine. ``reason`` says why there are none, once that is known."""

    def __init__(self, blocks: KVBlocks, decode: Decode, capture: Capture) -> None:
        self._blocks = blocks
        self._decode = decode
        self._capture = capture
        self._buckets: dict[tuple[int, int], _Bucket] = {}
        self.reason: str | None = None

    def __len__(self) -> int:
        return len(self._buckets)

    def run(self, rows: Sequence[Row]) -> Tensor | None:
        """Logits ``(len(rows), vocabulary)``, good until the next run; ``None`` where the step is
        better run, or can only be run, without a graph."""
        size = bucket_of(rows)
        if size is None or self.reason is not None:
            return None
        inputs = self._filled(rows, *size)
        bucket = self._buckets.get(size)
        if bucket is None:
            bucket = self._made(size, inputs)
            if bucket is None:
                return None
        bucket.inputs.copy_(inputs)
        return bucket.replay()[: len(rows)]

    def _filled(self, rows: Sequence[Row], count: int, width: int) -> Tensor:
        """All that a step is told, in one piece of CPU memory ``(count, 2 + width)``: of each row
        the token, its position and its blocks."""
        blank = [self._blocks.blank]
        flat: list[int] = []
        for row in rows:
            flat += row.token, row.position
            flat += row.blocks
            flat += blank * (width - len(row.blocks))
        flat += [0, 0, self._blocks.scratch, *blank * (width - 1)] * (count - len(rows))
        return torch.tensor(flat).view(count, 2 + width)

    def _made(self, size: tuple[int, int], inputs: Tensor) -> _Bucket | None:
        fixed = inputs.to(self._blocks.layers[0].device)
        try:
            made = _Bucket(fixed, self._capture(lambda: self._step(fixed)))
        except RuntimeError as error:
            self.reason = f"the base's code cannot be captured: {error}"
            return None
        self._buckets[size] = made
        return made

    def _step(self, inputs: Tensor) -> Tensor:
        """The step that ``inputs`` of :meth:`_filled` tell of."""
        block, (count, width) = self._blocks.block, inputs.shape
        width -= 2
        ids, positions, table = inputs[:, 0], inputs[:, 1], inputs[:, 2:]
        last = table.gather(1, (positions // block)[:, None])[:, 0]
        group = Group(0, count, table.flatten(), positions + 1, width * block)
        paged = Paged(self._blocks, last * block + positions % block, (group,), ())
        return self._decode(ids.contiguous(), positions.contiguous(), paged)


def bucket_of(rows: Sequence[Row]) -> tuple[int, int] | None:
    """Rows and blocks a row of the bucket for ``rows``; ``None`` where it would be mostly padding:
    a long sequence beside many short ones."""
    most = max(len(row.blocks) for row in rows)
    count = _power(len(rows)) if len(rows) <= _ROWS else -(-len(rows) // _ROWS) * _ROWS
    width = max(_LEAST_WIDTH, _power(most))
    known = sum(len(row.blocks) for row in rows)
    return (count, width) if count * width <= max(_SMALL, _MOST_PADDING * known) else None


def _power(number: int) -> int:
    """The power of two that is at least ``number``."""
    return 1 << (number - 1).bit_length()


@dataclass(frozen=True, slots=True)
class _Captured:
    """A ``graph`` that repeats ``run`` into ``result``. It reads the memory of tensors that ``run``
    holds, which must live as long."""

    graph: torch.cuda.CUDAGraph
    result: Tensor
    run: Replay

    def __call__(self) -> Tensor:
        self.graph.replay()
        return self.result


class CudaCapture:
    """Captures on one CUDA ``device``; all graphs share their working memory, as they run one
    after the other."""

    _WARM = 2
    """Runs before a capture, in which libraries choose kernels and take memory for good."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, run: Replay) -> Replay:
        """See :data:`Capture`. Adapters may be loaded meanwhile, by another thread."""
        main = torch.cuda.current_stream(self._device)
        # A capture that fails leaves its own stream in force: this one is put back.
        with torch.cuda.stream(main):
            side = torch.cuda.Stream()
            side.wait_stream(main)
            with torch.cuda.stream(side):
                for _ in range(self._WARM):
                    run()
            main.wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, self._pool, capture_error_mode="thread_local"):
                result = run()
        return _Captured(graph, result, run)
