"""Adapters read ahead: while a step runs, and not only once the engine has time to ask for them.

A request that comes during a step is seen when the step ends. If its adapter were asked for only
then, it would miss the next step as well, however fast the disk is.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """What ``read`` has begun to fetch by name, ``most`` at a time; what nobody came for makes room
    for what is wanted next. For any thread."""

    def __init__(self, read: Callable[[str], "Future[T]"], most: int) -> None:
        self._read = read
        self._most = most
        self._begun: dict[str, Future[T]] = {}
        self._lock = threading.Lock()

    def begin(self, name: str) -> None:
        """Fetch ``name``, unless that has begun or too much is under way; a hint, so no error."""
        with self._lock:
            if name in self._begun:
                return
            while len(self._begun) >= self._most:
                idle = next((one for one, found in self._begun.items() if found.done()), None)
                if idle is None:
                    return
                del self._begun[idle]
            self._begun[name] = self._read(name)

    def take(self, name: str) -> "Future[T] | None":
        """What was begun for ``name``, once; ``None`` if nothing was, or if it failed: the reason
        may have gone since."""
        with self._lock:
            found = self._begun.pop(name, None)
        failed = found is not None and found.done() and found.exception() is not None
        return None if failed else found

    def clear(self) -> None:
        """Forget all of it."""
        with self._lock:
            self._begun.clear()
