"""The engine's own thread, and how coroutines speak with it."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import NamedTuple

from pretune.core.records import Completion, FinishReason, Request
from pretune.engine.engine import Engine, Output, Stats
from pretune.serving.refusal import overloaded
from pretune.serving.room import has_room
from pretune.serving.wire import log_fault

_FAULTS = 3
"""Steps that may fail one after another before the engine counts as broken."""


class _Listener(NamedTuple):
    """Where the outputs of a request for ``task`` go: a queue of the event loop that asked."""

    task: str
    loop: asyncio.AbstractEventLoop
    queue: asyncio.Queue[Output | None]


def _hand_over(told: Sequence[tuple[_Listener, Output]]) -> None:
    for listener, output in told:
        listener.queue.put_nowait(output)


class Worker:
    """Steps an engine in a thread while there is work; with ``most`` requests under way it takes
    those of tasks alone that have less than their share of them.

    Whatever goes wrong in a step ends the requests that ran in it, each with the error, and not
    the thread.
    """

    def __init__(self, engine: Engine, most: int) -> None:
        self._engine = engine
        self.most = most
        self._orders: deque[Callable[[], None]] = deque()
        self._listeners: dict[str, _Listener] = {}
        self._wake = threading.Event()
        self._stopping = False
        self._draining = False
        self._faults = 0
        self._thread = threading.Thread(target=self._run, name="pretune-engine", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Whether the thread lives and its last steps did not all fail."""
        return self._thread.is_alive() and self._faults < _FAULTS

    @property
    def ready(self) -> bool:
        """Whether new requests are taken."""
        return self._thread.is_alive() and not self._draining

    @property
    def load(self) -> int:
        """Requests under way."""
        return len(self._listeners)

    def check(self, task: str) -> None:
        """Refuse who could not be answered.

        Raises:
            Refused: 429 when too many requests are under way, 503 when the server is stopping.
        """
        if not self.ready:
            raise overloaded("the server is stopping; ask another one", 503)
        under_way = [listener.task for listener in list(self._listeners.values())]
        if not has_room(task, under_way, self.most):
            raise overloaded(
                f"{len(under_way)} requests are under way where this server takes {self.most}, "
                f'{under_way.count(task)} of them for "{task}"; try again in a moment'
            )

    def stats(self) -> Stats:
        """The engine's counts; read without a lock, so of about this moment."""
        return self._engine.stats()

    def drain(self) -> None:
        """Take no new requests; those under way go on."""
        self._draining = True

    def stop(self) -> None:
        """Give up what is under way, and end the thread."""
        self._draining = self._stopping = True
        self._wake.set()
        self._thread.join()

    async def run(
        self,
        request: Request,
        options: Sequence[Sequence[int]] | None = None,
        until: float | None = None,
    ) -> AsyncGenerator[Output, None]:
        """The outputs of ``request`` as they come. Leaving early cancels it.

        Raises:
            Refused: as :meth:`check`.
            TimeoutError: it was not done ``until`` then, by the event loop's clock.
        """
        task = request.group or ""
        self.check(task)
        listener = _Listener(task, asyncio.get_running_loop(), asyncio.Queue())
        self._listeners[request.id] = listener
        if request.adapter is not None:
            self._engine.expect(request.adapter)
        self._order(lambda: self._submit(request, options))
        # One timer a request, not one an output.
        end = until and listener.loop.call_at(until, listener.queue.put_nowait, None)
        try:
            while (output := await listener.queue.get()) is not None:
                yield output
                if output.done is not None or output.scores is not None:
                    return
            raise TimeoutError
        finally:
            if end:
                end.cancel()
            if self._listeners.pop(request.id, None) is not None:
                self._order(lambda: self._engine.cancel(request.id))

    def _order(self, order: Callable[[], None]) -> None:
        self._orders.append(order)
        self._wake.set()

    def _submit(self, request: Request, options: Sequence[Sequence[int]] | None) -> None:
        try:
            self._engine.submit(request, options)
        except Exception as error:  # foreseen or not, it is about this request alone
            self._tell([_failed(request.id, error)])

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait()
            self._wake.clear()
            while not self._stopping and (self._orders or self._engine.busy):
                while self._orders:
                    self._safely(self._orders.popleft())
                self._safely(self._step)
            if not self._stopping:
                self._safely(self._engine.check)  # law 11, whenever there is nothing to do
        self._engine.close()
        left = [Completion(name, (), FinishReason.CANCELLED) for name in list(self._listeners)]
        self._tell([Output(one.request_id, done=one) for one in left])

    def _step(self) -> None:
        self._tell(self._engine.step())
        self._faults = 0

    def _safely(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # whatever it is, it must not stop the others for good
            log_fault(error)
            self._faults += 1
            self._tell([_failed(name, error) for name in self._engine.abort()])

    def _tell(self, outputs: Sequence[Output]) -> None:
        """What a step came to, in one call for each event loop: waking one costs more than what it
        is told. A loop that is gone hears nothing."""
        told: dict[asyncio.AbstractEventLoop, list[tuple[_Listener, Output]]] = {}
        for output in outputs:
            ended = output.done is not None or output.scores is not None
            find = self._listeners.pop if ended else self._listeners.get
            if (listener := find(output.request_id, None)) is not None:
                told.setdefault(listener.loop, []).append((listener, output))
        for loop, some in told.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_hand_over, some)


def _failed(name: str, error: Exception) -> Output:
    return Output(name, done=Completion(name, (), FinishReason.FAILED, error=str(error)))
