"""The engine: requests of any mix of tasks, methods and scopes in one continuous batch.

Token ids in, token ids out. :meth:`Engine.step` plans, runs and samples once; whoever calls it
again and again serves. Not thread-safe, but for :meth:`Engine.expect` and :meth:`Engine.stats`: one
thread owns an engine.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from pretune.adapters.adapter import Adapter
from pretune.adapters.injection import Injection
from pretune.bases import Base
from pretune.core.errors import PretuneError, SpecError, UnknownName
from pretune.core.names import unknown
from pretune.core.records import Chosen, Completion, FinishReason, OptionScores, Request
from pretune.engine.allocator import keep_freed_memory
from pretune.engine.blocks import BlockPool, insist
from pretune.engine.keys import root_key
from pretune.engine.paged import KVBlocks
from pretune.engine.runner import Runner
from pretune.engine.sampler import NotFinite, choose
from pretune.engine.scheduler import Limits, Scheduler
from pretune.engine.sequence import Sequence as Running
from pretune.engine.sequence import total_blocks
from pretune.engine.slots import Slots
from pretune.engine.trie import OptionTrie

Progress = Callable[[int], None]

_PATIENCE = 0.05
"""Seconds that a step waits for an adapter when there is nothing else to do."""


class Size(NamedTuple):
    """How much an engine holds: ``blocks`` of ``block`` tokens of cache, ``slots`` for adapters in
    prefill, ``tokens`` in a step, and ``sequences`` running at a time."""

    blocks: int = 2048
    block: int = 16
    slots: int = 8
    tokens: int = 2048
    sequences: int = 64


class Begun(NamedTuple):
    """How a request came in: seconds in the queue, prompt tokens that it found in the cache, and
    whether its adapter had to be loaded."""

    waited: float
    reused: int
    fetched: bool


class Output(NamedTuple):
    """What a step did for one request: ``new`` tokens; ``done`` or ``scores`` once it ended;
    ``begun`` with the first of them."""

    request_id: str
    new: tuple[Chosen, ...] = ()
    done: Completion | None = None
    scores: OptionScores | None = None
    begun: Begun | None = None


@dataclass(frozen=True, slots=True)
class Stats:
    """Where an engine stands; counts since its start where not of the moment. ``graphs`` of decode
    have been captured, on CUDA; ``eager`` says why none can be, if that is so there."""

    waiting: int
    running: int
    blocks_held: int
    blocks_kept: int
    blocks: int
    adapters_resident: int
    adapter_bytes_held: int
    adapter_loads: int
    preemptions: int
    reused_tokens: int
    steps: int
    graphs: int
    eager: str | None


class Engine:
    """Serves one base and whatever adapters ``load`` finds by name.

    A name must mean one adapter for good (a digest does): a request keeps the version it was
    admitted with, and versions change by changing the name that new requests carry.

    On a CPU the process keeps the memory that large steps free (:mod:`pretune.engine.allocator`).
    """

    def __init__(
        self,
        base: Base,
        end_ids: Sequence[int],
        load: Callable[[str], Adapter] | None = None,
        size: Size = Size(),  # noqa: B008  (immutable)
    ) -> None:
        if base.device.type == "cpu":
            # Gate and up are one product (engine/fused.py).
            widest = 2 * max(site.width_out for site in base.anatomy.linears)
            keep_freed_memory(size.tokens * widest * base.model.dtype.itemsize)
        self.base = base
        self._end_ids = frozenset(end_ids)
        self._injection = Injection(base)
        self._slots = Slots(self._injection, load or _none_known, size.slots)
        self._pool = BlockPool(size.blocks)
        self._memory = KVBlocks(base, size.blocks, size.block)
        context = base.renderer.context_length
        limits = Limits(size.tokens, size.sequences, size.block, context)
        root = root_key(base.digest, base.precision)
        self._scheduler = Scheduler(self._pool, self._slots, limits, root)
        self._runner = Runner(self._injection, self._slots, self._memory, size.block)
        self._requests: dict[str, Running] = {}
        self._cancelled: list[Running] = []
        self._steps = 0

    def expect(self, adapter: str) -> None:
        """Begin to read an adapter for a request that is about to be submitted. Any thread may call
        it: who waits for a step to end loses no time."""
        self._slots.expect(adapter)

    def submit(self, request: Request, options: Sequence[Sequence[int]] | None = None) -> None:
        """Queue ``request``; with ``options`` (token ids each) these are scored after its prompt
        instead of generating.

        Raises:
            SpecError: the id is in use, the prompt is empty, or nothing is asked for.
        """
        if request.id in self._requests:
            raise SpecError(f'a request "{request.id}" is already under way; give each its own id')
        if not any(map(len, request.segments)):
            raise SpecError(f'request "{request.id}" has an empty prompt')
        if options is None and request.max_new_tokens < 1:
            raise SpecError(
                f'request "{request.id}" asks for "{request.max_new_tokens}" new tokens; ask for '
                "one at least"
            )
        trie = None if options is None else OptionTrie.of(options)
        sequence = Running(request, trie)
        self._requests[request.id] = sequence
        self._scheduler.add(sequence)

    def cancel(self, request_id: str) -> None:
        """Give up a request; the next step reports it as cancelled. Unknown ids are ignored: it may
        just have ended."""
        sequence = self._requests.get(request_id)
        if sequence is not None and sequence not in self._cancelled:
            self._cancelled.append(sequence)

    @property
    def busy(self) -> bool:
        """Whether any request is under way."""
        return bool(self._requests)

    def step(self) -> list[Output]:
        """Advance every running sequence, admit waiting ones, and tell what came of it."""
        cancelled, self._cancelled = self._cancelled, []
        outputs = [self._end(one, FinishReason.CANCELLED) for one in cancelled]
        if not self._requests:
            return outputs
        pieces, failed = self._scheduler.plan()
        outputs += [self._fail(sequence, error) for sequence, error in failed]
        if not pieces:
            if not failed:
                self._slots.wait(_PATIENCE)
            return outputs
        self._steps += 1
        if fresh := self._pool.fresh():
            self._memory.clear(fresh)
        ran = self._runner.run(pieces)
        for piece in pieces:
            self._scheduler.written(piece)
        rows = ran.split()
        scored = [i for i, piece in enumerate(ran.pieces) if piece.scores]
        outputs += [self._score(ran.pieces[i].sequence, rows[i]) for i in scored]
        drawing = [i for i, piece in enumerate(ran.pieces) if not piece.scores]
        if drawing:
            sequences = [ran.pieces[i].sequence for i in drawing]
            logits = torch.cat([rows[i] for i in drawing]) if scored else ran.logits
            chosen = choose(logits, sequences)
            first = [not sequence.generated for sequence in sequences]
            taken = [self._take(s, one) for s, one in zip(sequences, chosen, strict=True)]
            outputs += [
                output._replace(begun=_begun(sequence)) if began else output
                for sequence, output, began in zip(sequences, taken, first, strict=True)
            ]
        return outputs

    def check(self) -> None:
        """Law 11, at any time between steps: no block and no slot is lost.

        Raises:
            BooksAreWrong: one is.
        """
        running, waiting = self._scheduler.running, self._scheduler.waiting
        self._pool.check(total_blocks(running))
        holders, held = sum(sequence.holds_slot for sequence in running), self._slots.holders
        insist(held == holders, f"slots are held {held} times, by {holders} sequences")
        known, queued = len(self._requests), len(running) + len(waiting)
        insist(known == queued, f"{known} requests are under way, and {queued} run or wait")

    def stats(self) -> Stats:
        """Counts for monitoring; from any thread, of about this moment."""
        graphs = self._runner.graphs
        return Stats(
            waiting=len(self._scheduler.waiting),
            running=len(self._scheduler.running),
            blocks_held=self._pool.held,
            blocks_kept=self._pool.kept,
            blocks=self._pool.size,
            adapters_resident=self._slots.resident,
            adapter_bytes_held=self._slots.bytes,
            adapter_loads=self._slots.loads,
            preemptions=self._scheduler.preemptions,
            reused_tokens=self._scheduler.reused_tokens,
            steps=self._steps,
            graphs=0 if graphs is None else len(graphs),
            eager=None if graphs is None else graphs.reason,
        )

    def abort(self) -> list[str]:
        """Give up every request at once, after a step that failed half-way; returns their ids.

        Nothing that the cache holds is taken up again: nobody knows where the step failed, and
        what it left there.
        """
        names = list(self._requests)
        for sequence in list(self._requests.values()):
            self._end(sequence, FinishReason.CANCELLED)
        self._pool.forget()
        return names

    def close(self) -> None:
        """Let go of every request and adapter."""
        self.abort()
        self._slots.close()

    def generate(
        self, requests: Sequence[Request], progress: Progress | None = None
    ) -> list[Completion]:
        """Complete ``requests``, in the order asked.

        Raises:
            PretuneError: one of them failed; the others are given up.
        """
        done = self._drain(requests, None, progress)
        return [output.done for output in done if output.done is not None]

    def score(
        self,
        requests: Sequence[Request],
        options: Sequence[Sequence[int]],
        progress: Progress | None = None,
    ) -> list[OptionScores]:
        """Score ``options`` after every prompt, in the order asked.

        Raises:
            PretuneError: a request failed; the others are given up.
        """
        done = self._drain(requests, options, progress)
        return [output.scores for output in done if output.scores is not None]

    def _drain(
        self,
        requests: Sequence[Request],
        options: Sequence[Sequence[int]] | None,
        progress: Progress | None,
    ) -> list[Output]:
        # Ids of callers need not differ from each other.
        own = {f"drain:{i}": request for i, request in enumerate(requests)}
        ended: dict[str, Output] = {}
        try:
            for name, request in own.items():
                self.submit(replace(request, id=name), options)
            while len(ended) < len(own):
                for output in self.step():
                    if output.done is not None and output.done.error is not None:
                        raise PretuneError(output.done.error)
                    if output.done is None and output.scores is None:
                        continue
                    ended[output.request_id] = _renamed(output, own[output.request_id].id)
                    if progress:
                        progress(1)
        finally:
            for name in own.keys() & self._requests.keys():
                self._end(self._requests[name], FinishReason.CANCELLED)
        return [ended[name] for name in own]

    def _take(self, sequence: Running, chosen: Chosen | PretuneError) -> Output:
        if not isinstance(chosen, Chosen):
            return self._end(sequence, _reason(chosen), str(chosen))
        request, token = sequence.request, chosen.token
        if token in self._end_ids:
            return self._end(sequence, FinishReason.END)
        if token in request.sampling.stop_ids:
            return self._end(sequence, FinishReason.STOP)
        sequence.append(token)
        if request.sampling.logprobs is not None:
            sequence.chosen.append(chosen)
        stop = request.sampling.stop
        if stop is not None and stop(sequence.generated):
            return self._end(sequence, FinishReason.STOP, new=(chosen,))
        if sequence.adherence is not None and sequence.adherence.complete:
            return self._end(sequence, FinishReason.END, new=(chosen,))
        if len(sequence.generated) == request.max_new_tokens:
            return self._end(sequence, FinishReason.LENGTH, new=(chosen,))
        return Output(request.id, (chosen,))

    def _score(self, sequence: Running, logits: Tensor) -> Output:
        trie, name = sequence.trie, sequence.request.id
        assert trie is not None
        if not bool(logits.isfinite().all()):
            return self._end(sequence, FinishReason.FAILED, str(NotFinite(name)))
        scores = trie.scores(logits)
        self._end(sequence, FinishReason.END)
        found = OptionScores(name, tuple(scores.tolist()))
        return Output(name, scores=found, begun=_begun(sequence))

    def _fail(self, sequence: Running, error: PretuneError) -> Output:
        del self._requests[sequence.request.id]
        name = sequence.request.id
        failed = Completion(name, (), _reason(error), error=str(error))
        return Output(name, done=failed)

    def _end(
        self,
        sequence: Running,
        reason: FinishReason,
        error: str | None = None,
        new: tuple[Chosen, ...] = (),
    ) -> Output:
        self._scheduler.remove(sequence)
        name = sequence.request.id
        del self._requests[name]
        if sequence in self._cancelled:
            self._cancelled.remove(sequence)
        done = Completion(name, tuple(sequence.generated), reason, tuple(sequence.chosen), error)
        return Output(name, new, done)


def _begun(sequence: Running) -> Begun:
    assert sequence.began is not None
    return Begun(sequence.began - sequence.arrived, sequence.reused, sequence.fetched)


def _reason(error: PretuneError) -> FinishReason:
    """Whose it is to mend; a name that ``load`` does not know is nothing that a request says."""
    asked = isinstance(error, SpecError) and not isinstance(error, UnknownName)
    return FinishReason.REFUSED if asked else FinishReason.FAILED


def _renamed(output: Output, name: str) -> Output:
    done, scores = output.done, output.scores
    if done is not None:
        done = Completion(name, done.ids, done.reason, done.chosen, done.error)
    if scores is not None:
        scores = OptionScores(name, scores.log_probs)
    return Output(name, output.new, done, scores)


def _none_known(name: str) -> Adapter:
    raise unknown("adapter", name, ())
