"""Work that would hold up the event loop: done in a thread of its own, by a bounded line."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, ParamSpec, TypeVar

from pretune.serving.refusal import overloaded

P = ParamSpec("P")
T = TypeVar("T")

MOST_WAITING = 16
"""Pieces of work that may be under way or in line."""


class Aside(Generic[P, T]):
    """Calls ``work`` in a thread, one call after another; ``called`` says what it is, in the
    plural."""

    def __init__(self, work: Callable[P, T], called: str) -> None:
        self._work, self._called = work, called
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pretune-aside")
        self._waiting = 0

    async def __call__(self, *args: P.args, **named: P.kwargs) -> T:
        """What ``work`` returns or raises.

        Raises:
            Refused: 429, too many are waiting.
        """
        if self._waiting >= MOST_WAITING:
            raise overloaded(f"{self._waiting} {self._called}; try again in a moment")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, lambda: self._work(*args, **named))
        finally:
            self._waiting -= 1
