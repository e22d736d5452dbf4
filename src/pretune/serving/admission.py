"""Who may ask now: rates and requests under way, by API key and by task.

Both are checked before either is charged, so that what one limit refuses costs nothing of another.
Gates exist for keys and tasks that the server knows, never for what a client made up.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pretune.serving.refusal import Refused
from pretune.spec.limits import Limit, LimitsSpec

_SHOWN = 12
"""Characters of a key's hash that are shown."""


class Admission:
    """The gates of ``spec``; ``clock`` gives seconds that never go back."""

    def __init__(self, spec: LimitsSpec, clock: Callable[[], float] = time.monotonic) -> None:
        self._spec, self._clock = spec, clock
        self._keys: dict[str, _Gate] = {}
        self._tasks: dict[str, _Gate] = {}

    def weight(self, task: str) -> float:
        """The task's share of the engine."""
        return self._spec.of_task(task).weight

    @contextmanager
    def admit(self, key: str, task: str, count: int) -> Iterator[None]:
        """Hold ``count`` answers under way, for a known key (its hash, "" without keys) and task.

        Raises:
            Refused: 429, with the limit and the time to wait; 400 where waiting cannot help.
        """
        if key not in self._keys:
            shown = f'key "{key[:_SHOWN]}"' if key else "all clients together"
            self._keys[key] = _Gate(shown, self._spec.of_key(key))
        if task not in self._tasks:
            self._tasks[task] = _Gate(f'task "{task}"', self._spec.of_task(task))
        gates, now = (self._keys[key], self._tasks[task]), self._clock()
        for gate in gates:
            gate.check(count, now)
        for gate in gates:
            gate.enter(count, now)
        try:
            yield
        finally:
            for gate in gates:
                gate.leave(count)


class _Gate:
    """One limit: a rate by the generic cell rate algorithm (ITU-T I.371, annex A), which needs one
    number, when the next answer would be due if all came evenly; and a count."""

    def __init__(self, whose: str, limit: Limit) -> None:
        self._whose, self._limit = whose, limit
        self._due = -math.inf
        self._under_way = 0

    def check(self, count: int, now: float) -> None:
        rate, most = self._limit.per_second, self._limit.under_way
        if rate is not None:
            burst = self._limit.at_once
            self._check_possible(count, burst)
            # A millionth of an answer, so that who waits as told is not refused for rounding.
            wait = self._next(count, now, rate) - now - (burst + 1e-6) / rate
            if wait > 0:
                seconds = math.ceil(wait)
                raise _too_much(
                    f"{self._whose}: the limit is {rate:g} answers a second, {burst} at once; "
                    f"try again in {seconds} s",
                    seconds,
                )
        if most is not None:
            self._check_possible(count, most)
            if self._under_way + count > most:
                raise _too_much(
                    f"{self._whose}: {self._under_way} answers are under way and the limit is "
                    f"{most}; try again when one has ended",
                    1,
                )

    def enter(self, count: int, now: float) -> None:
        if self._limit.per_second is not None:
            self._due = self._next(count, now, self._limit.per_second)
        self._under_way += count

    def leave(self, count: int) -> None:
        self._under_way -= count

    def _next(self, count: int, now: float, rate: float) -> float:
        return max(self._due, now) + count / rate

    def _check_possible(self, count: int, most: int) -> None:
        if count > most:
            raise Refused(
                f"{self._whose}: {count} answers at once, where the limit is {most}; ask for fewer",
                param="n",
            )


def _too_much(message: str, seconds: int) -> Refused:
    return Refused(message, 429, kind="rate_limit_error", retry_after=seconds)
