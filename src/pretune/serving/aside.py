"""Work that would hold up the event loop: done in a thread of its own, in turn for all who ask."""

import asyncio
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Generic, ParamSpec, TypeVar

from pretune.serving.refusal import overloaded
from pretune.serving.room import has_room

P = ParamSpec("P")
T = TypeVar("T")


class Aside(Generic[P, T]):
    """Calls ``work`` in a thread, one call at a time, of every line in turn: who asks much waits
    behind itself. ``called`` says what the calls are, in the plural; with ``most`` under way or in
    line only those of lines are taken that have less than their share. Safe for several event
    loops.
    """

    def __init__(self, work: Callable[P, T], called: str, most: int) -> None:
        self._work, self._called, self._most = work, called, most
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pretune-aside")
        self._lock = threading.Lock()
        self._lines: OrderedDict[str, deque[tuple[Future[T], Callable[[], T]]]] = OrderedDict()
        self._inside: list[str] = []

    @property
    def busy(self) -> bool:
        """Whether who asks now has to wait."""
        return bool(self._inside)

    async def __call__(self, line: str, *args: P.args, **named: P.kwargs) -> T:
        """What ``work`` returns or raises, called for ``line``. Leaving early takes it out of the
        line; what has begun goes on, and counts until it is done.

        Raises:
            Refused: 429, too many are waiting.
        """
        future: Future[T] = Future()
        with self._lock:
            if not has_room(line, self._inside, self._most):
                raise overloaded(f"{len(self._inside)} {self._called}; try again in a moment")
            self._inside.append(line)
            call = future, partial(self._work, *args, **named)
            self._lines.setdefault(line, deque()).append(call)
        future.add_done_callback(partial(self._leave, line))
        self._thread.submit(self._next)
        return await asyncio.wrap_future(future)

    def _leave(self, line: str, future: Future[T]) -> None:
        """It is over; one that was given up in line is kept no longer, nor what it was to do."""
        with self._lock:
            self._inside.remove(line)
            if future.cancelled() and line in self._lines:
                kept = deque(one for one in self._lines[line] if one[0] is not future)
                self._lines[line] = kept
                if not kept:
                    del self._lines[line]

    def _next(self) -> None:
        with self._lock:
            if not self._lines:
                return  # given up
            line, calls = self._lines.popitem(last=False)
            future, call = calls.popleft()
            if calls:
                self._lines[line] = calls  # behind the others
            begun = future.set_running_or_notify_cancel()
        if not begun:
            return
        try:
            result = call()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
