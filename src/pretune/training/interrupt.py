"""Ctrl-C and termination, held back until a step is done."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether a signal to stop has arrived."""

    def __init__(self) -> None:
        self.requested = False


@contextmanager
def held_back() -> Iterator[Interruption]:
    """In this block the first SIGINT or SIGTERM only sets ``requested``; a second one acts as it
    did before. Outside the main thread, where Python delivers no signals, nothing changes."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before: dict[signal.Signals, Any] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)

    def hold(_number: int, _frame: FrameType | None) -> None:
        interruption.requested = True
        restore()

    for number in _SIGNALS:
        before[number] = signal.signal(number, hold)
    try:
        yield interruption
    finally:
        restore()
