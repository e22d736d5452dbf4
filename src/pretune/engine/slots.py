"""Slots: the places on the device for adapters whose prompts are being written.

An adapter is read, checked and moved in the background while its request waits in the queue; the
running batch never stalls for it. Once its prompts are written nobody holds its slot.
"""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress

from pretune.adapters.adapter import Adapter
from pretune.adapters.injection import Injection, Mounted
from pretune.core.errors import AdapterError, PretuneError
from pretune.engine.ahead import Ahead
from pretune.engine.transfer import BySite, moved

Load = Callable[[str], Adapter]
"""From an adapter's name to the adapter, from wherever it is kept; called in another thread."""

Placed = tuple[Adapter, BySite]

_LOADERS = 4
"""Adapters that are loaded at a time; one on a CPU, where that costs the batch its cores."""

_MOST_FAILED = 64
"""Failures that are kept for requests which may have been cancelled since."""


class Slots:
    """``size`` places. All methods but :meth:`expect` are for the engine's own thread; counts may
    be read by any."""

    def __init__(self, injection: Injection, load: Load, size: int) -> None:
        self.size = size
        self._injection = injection
        self._load = load
        loaders = 1 if injection.base.device.type == "cpu" else _LOADERS
        self._loader = ThreadPoolExecutor(loaders, thread_name_prefix="pretune-adapters")
        self._ahead = Ahead(lambda name: self._loader.submit(self._place, name, None), size)
        self._coming: dict[str, Future[Placed]] = {}
        self._failed: dict[str, BaseException] = {}
        self._adapters: dict[str, Adapter] = {}
        self._holders: OrderedDict[str, int] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self.loads = 0

    @property
    def resident(self) -> int:
        """Adapters that are in a slot."""
        return len(self._holders)

    @property
    def holders(self) -> int:
        """How many holds there are, over all adapters."""
        return sum(self._holders.values())

    @property
    def bytes(self) -> int:
        """Bytes of adapters that somebody holds on the device; zero in pure decode. May be asked by
        any thread: of one that is just leaving they are left out."""
        held = [name for name, holders in list(self._holders.items()) if holders]
        return self._injection.stacked_bytes + sum(self._sizes.get(name, 0) for name in held)

    def expect(self, name: str) -> None:
        """Begin to read an adapter that will be asked for; from any thread. No more are read ahead
        than there are slots."""
        if name not in self._holders and name not in self._coming:
            with suppress(RuntimeError):  # the loader may just have been shut down
                self._ahead.begin(name)

    def ready(self, name: str, adapter: Adapter | None = None) -> Adapter | None:
        """The adapter if it is in a slot; if not, see to it that it will be, as soon as a slot is
        free. ``adapter`` is given where it has been loaded before.

        Raises:
            PretuneError: it could not be loaded, or does not fit the base; asking again tries anew.
        """
        self._settle()
        if name in self._failed:
            raise self._failed.pop(name)
        if name not in self._holders and name not in self._coming and self._make_room():
            self.loads += 1
            self._coming[name] = self._ahead.take(name) or self._loader.submit(
                self._place, name, adapter
            )
            self._settle()  # what was read ahead may be there
        if name not in self._holders:
            return None
        self._holders.move_to_end(name)
        return self._adapters[name]

    def mounted(self, name: str) -> Mounted:
        """The slot of a resident adapter."""
        return self._injection[name]

    def hold(self, name: str) -> None:
        """Keep a resident adapter in its slot until as many :meth:`release`."""
        self._holders[name] += 1

    def release(self, name: str) -> None:
        """Undo one :meth:`hold`; the adapter stays until its slot is wanted for another."""
        self._holders[name] -= 1

    def wait(self, seconds: float) -> None:
        """Return when an adapter has come, or after ``seconds``."""
        if self._coming:
            wait(self._coming.values(), seconds, FIRST_COMPLETED)

    def close(self) -> None:
        """Empty every slot."""
        self._loader.shutdown(cancel_futures=True)
        self._ahead.clear()
        self._coming.clear()
        for name in list(self._holders):
            self._evict(name)

    def _settle(self) -> None:
        """Take in every adapter that has come, whether or not who asked for it is still there: one
        that nobody wants any more must not keep a slot."""
        for name in [name for name, coming in self._coming.items() if coming.done()]:
            coming = self._coming.pop(name)
            if (error := coming.exception()) is not None:
                self._failed[name] = error
                while len(self._failed) > _MOST_FAILED:
                    del self._failed[next(iter(self._failed))]
                continue
            adapter, weights = coming.result()
            self._injection.mount_live(name, adapter.method, adapter.scope, weights)
            self._adapters[name] = adapter
            self._sizes[name] = sum(
                value.nbytes for parts in weights.values() for value in parts.values()
            )
            self._holders[name] = 0

    def _place(self, name: str, adapter: Adapter | None) -> Placed:
        base = self._injection.base
        try:
            adapter = adapter or self._load(name)
            dtype = None if adapter.method.needs_float32 else base.model.dtype
            return adapter, moved(adapter.by_site(base), base.device, dtype)
        except PretuneError:
            raise
        except Exception as error:  # whatever it is, it must not stop those who run
            raise AdapterError(f'adapter "{name}" could not be loaded: {error}') from error

    def _make_room(self) -> bool:
        if self.resident + len(self._coming) < self.size:
            return True
        idle = next((name for name, holders in self._holders.items() if not holders), None)
        if idle is None:
            return False
        self._evict(idle)
        return True

    def _evict(self, name: str) -> None:
        del self._holders[name], self._adapters[name], self._sizes[name]
        self._injection.unmount(name)
