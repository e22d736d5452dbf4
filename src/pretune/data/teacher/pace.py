"""How fast a teacher is called: so many calls and tokens a minute, and rest when it says so."""

import threading
import time
from collections import deque
from collections.abc import Callable

from pretune.core.errors import TeacherError

_MINUTE = 60.0


class Pace:
    """Lets callers through one by one. Threads share it."""

    def __init__(
        self,
        calls: int | None = None,
        tokens: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        """At most ``calls`` and ``tokens`` in any minute; ``None``: no limit."""
        self._calls, self._tokens = calls, tokens
        self._clock = clock
        self._stopped = threading.Event()
        self._sleep = sleep or self._stopped.wait
        self._lock = threading.Lock()
        self._let: deque[tuple[float, int]] = deque()
        self._not_before = 0.0
        self._reason = ""

    def wait(self, tokens: int) -> None:
        """Return when a call of ``tokens`` may be made.

        Raises:
            TeacherError: no call may be made any more.
        """
        while True:
            if self._stopped.is_set():
                raise TeacherError(self._reason)
            with self._lock:
                now = self._clock()
                delay = self._delay(now, tokens)
                if delay <= 0:
                    self._let.append((now, tokens))
                    return
            self._sleep(delay)

    def rest(self, seconds: float, *, everybody: bool) -> None:
        """Wait ``seconds``; with ``everybody`` no other caller is let through meanwhile."""
        if everybody:
            with self._lock:
                self._not_before = max(self._not_before, self._clock() + seconds)
        if seconds > 0:
            self._sleep(seconds)

    def stop(self, reason: str) -> None:
        """Wake all who wait, and let nobody through any more: the first ``reason`` tells them."""
        with self._lock:
            self._reason = self._reason or reason
        self._stopped.set()

    def _delay(self, now: float, tokens: int) -> float:
        """Seconds until a call of ``tokens`` fits."""
        while self._let and self._let[0][0] <= now - _MINUTE:
            self._let.popleft()
        delay = self._not_before - now
        if self._calls is not None and len(self._let) >= self._calls:
            delay = max(delay, self._let[-self._calls][0] + _MINUTE - now)
        if self._tokens is not None and self._let:
            used = sum(count for _, count in self._let)
            for then, count in self._let:
                if used + tokens <= self._tokens:
                    break
                used -= count
                delay = max(delay, then + _MINUTE - now)
        return delay
