"""Adapters in the host's memory: those that were asked for last, as many as have room."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from pretune.adapters.adapter import Adapter


class Kept:
    """What ``load`` reads, kept up to ``most`` bytes. Names must mean the same for good, as digests
    do. Asked from any thread."""

    def __init__(self, load: Callable[[str], Adapter], most: int) -> None:
        self._load, self._most = load, most
        self._adapters: OrderedDict[str, Adapter] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def __call__(self, name: str) -> Adapter:
        """The adapter, from memory if it is there.

        Raises:
            PretuneError: as ``load`` does; a failure is not kept.
        """
        with self._lock:
            if name in self._adapters:
                self._adapters.move_to_end(name)
                return self._adapters[name]
        adapter = self._load(name)  # in its own time: others are not to wait for a file
        with self._lock:
            if name not in self._adapters:
                self._adapters[name] = adapter
                self._bytes += _bytes(adapter)
            while self._bytes > self._most:
                _, least = self._adapters.popitem(last=False)
                self._bytes -= _bytes(least)
        return adapter


def _bytes(adapter: Adapter) -> int:
    return sum(value.nbytes for value in adapter.weights.values())
