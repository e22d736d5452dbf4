"""A registry's tasks as one server serves them: followed, pinned, swapped whole."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol, TypeVar
from weakref import WeakValueDictionary

from pretune.core.digest import SHORT
from pretune.core.errors import PretuneError
from pretune.core.names import unknown
from pretune.core.protocols import Renderer
from pretune.data.dataset import option_ids
from pretune.registry import Registry, TaskState, Version
from pretune.registry.pins import Pin
from pretune.serving.catalogue import Catalogue, Rollout, ServedTask
from pretune.serving.meter import Meter

T = TypeVar("T")

POLL_SECONDS = 1.0
"""How soon a change by another process is seen."""


class Read(NamedTuple):
    """What a registry said at one moment; ``problems`` by task."""

    signature: object
    states: dict[str, TaskState]
    versions: dict[str, Version]
    problems: dict[str, str]


class Holder(Protocol):
    """Where the catalogue in use stands."""

    catalogue: Catalogue
    meter: Meter

    @property
    def shelf(self) -> "Shelf | None":
        """What replaces it."""


class Shelf:
    """The tasks of ``registry`` that act on the base of digest ``base``, beside ``fixed`` ones that
    always stay.

    A version is in use while anything holds its :class:`ServedTask`: the catalogue, or a request
    that was admitted under an earlier one. What is in use is pinned, so that no collection of
    another process removes it.
    """

    def __init__(
        self, registry: Registry, base: str, renderer: Renderer, fixed: Iterable[ServedTask] = ()
    ) -> None:
        self.registry = registry
        self.problems: dict[str, str] = {}
        self._base, self._renderer = base, renderer
        self._fixed = tuple(fixed)
        self._used: WeakValueDictionary[str, ServedTask] = WeakValueDictionary()
        self._states: dict[str, TaskState] = {}
        self._versions: dict[str, Version] = {}
        self._unloaded: set[str] = set()
        self._signature: object = None
        self._turn = asyncio.Lock()
        # One thread of its own: the loop's pool would grow by as many as happen to work at once.
        self._files = ThreadPoolExecutor(1, "pretune-registry")
        with registry.locked():
            self._pin = Pin(registry.files.pins)

    def load(self, name: str) -> None:
        """Serve a task again, with the next refresh.

        Raises:
            UnknownName: the registry has no such task.
        """
        self._known(name)
        self._unloaded.discard(name)

    def unload(self, name: str) -> None:
        """Serve a task no more, with the next refresh; requests under way are answered.

        Raises:
            UnknownName: the registry has no such task.
        """
        self._known(name)
        self._unloaded.add(name)

    def _known(self, name: str) -> None:
        if name not in (names := self.registry.names()):
            raise unknown("task", name[:64], names)

    def read(self) -> Read:
        """What the registry says now; pinned before anybody can collect it. Blocks: files, a lock.

        Raises:
            StorageError: the registry cannot be read at all; nothing has changed.
        """
        with self.registry.locked():
            read = Read(self.registry.signature(), {}, {}, {})
            here = set(self.registry.files.version_names())
            for name in self.registry.names():
                if name not in self._unloaded:
                    self._read_task(name, here, read)
            self._pin.hold({*read.versions, *self._in_use()})
        return read

    def _read_task(self, name: str, here: set[str], read: Read) -> None:
        try:
            state = self.registry.task(name)
        except PretuneError as error:
            read.problems[name] = str(error)
            if name not in self._states:
                return
            state = self._states[name]  # what was served before goes on
        read.states[name] = state
        for digest in state.kept:
            if digest not in here and digest != state.current:
                continue  # a way back that an earlier collection closed
            try:
                version = self._versions.get(digest) or self.registry.version(digest)
                if version.base != self._base:
                    raise PretuneError(
                        f'version {digest[:SHORT]} is of base "{version.base[:SHORT]}", this '
                        f'server has "{self._base[:SHORT]}"; serve each base by itself'
                    )
                read.versions[digest] = version
            except PretuneError as error:
                read.problems[name] = str(error)

    def arrange(self, read: Read, catalogue: Catalogue) -> Catalogue:
        """The catalogue that follows ``catalogue``, now that this was read."""
        tasks = list(self._fixed)
        closed = [name for name in read.problems if name not in read.states]  # never readable yet
        rollouts: dict[str, Rollout] = {}
        taken = {task.name for task in self._fixed}
        problems = dict(read.problems)
        for name, state in read.states.items():
            if name in taken:
                problems[name] = "a run's folder, or the base, is served under this name already"
                continue
            if state.current is None:
                continue
            served = {}
            for digest in state.kept & read.versions.keys():
                try:
                    served[digest] = self._served(digest, read.versions[digest])
                except PretuneError as error:
                    problems[name] = str(error)
            if state.current not in served:
                closed.append(name)
                continue
            tasks.append(served[state.current])
            canary = state.canary
            rollouts[name] = Rollout(
                served,
                canary=served.get(canary.version) if canary else None,
                share=canary.share if canary else 0.0,
                shadow=served.get(state.shadow) if state.shadow else None,
            )
        self._signature, self.problems = read.signature, problems
        self._states, self._versions = read.states, read.versions
        return catalogue.replaced(tasks, rollouts, closed)

    def _served(self, digest: str, version: Version) -> ServedTask:
        found = self._used.get(digest)
        if found is None:
            found = ServedTask(version.task, version.task_spec, version.adapter, digest)
            if found.labels:
                option_ids(version.task_spec, self._renderer)  # refused here, for this task alone
            self._used[digest] = found
        return found

    async def apart(self, work: Callable[[], T]) -> T:
        """What ``work`` returns, which reads or writes files; one at a time, beside the loop."""
        return await asyncio.get_running_loop().run_in_executor(self._files, work)

    async def refresh(self, holder: Holder) -> None:
        """Bring the catalogue up to what the registry says.

        Raises:
            StorageError: the registry cannot be read; the catalogue stays.
        """
        async with self._turn:
            read = await self.apart(self.read)
            catalogue = holder.catalogue = self.arrange(read, holder.catalogue)
            holder.meter.keep({(task.name, task.short) for task in catalogue.versions})

    async def follow(self, holder: Holder) -> None:
        """Refresh whenever the registry changes, for ever."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            with contextlib.suppress(PretuneError):  # it may be readable again in a second
                async with self._turn:
                    different = await self.apart(self._changed)
                if different:
                    await self.refresh(holder)

    def _changed(self) -> bool:
        """Whether the registry did; versions that are used no more are let go on the way."""
        if self.registry.signature() != self._signature:
            return True
        used = self._in_use()
        if used != self._pin.versions:
            with self.registry.locked():  # a collection takes an unfinished list for a leftover
                self._pin.hold(used)
        return False

    def _in_use(self) -> frozenset[str]:
        return frozenset(ref.key for ref in self._used.valuerefs() if ref() is not None)

    def close(self) -> None:
        """Let go of every version, when what is under way is done."""
        self._files.shutdown(cancel_futures=True)
        self._pin.release()


@contextlib.asynccontextmanager
async def followed(holder: Holder) -> AsyncIterator[None]:
    """Keep ``holder``'s catalogue up to date while the block runs, if there is a shelf."""
    shelf = holder.shelf
    if shelf is None:
        yield
        return
    following = asyncio.create_task(shelf.follow(holder))
    try:
        yield
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        shelf.close()


async def changed(shelf: Shelf, holder: Holder, change: Callable[[], object]) -> None:
    """Make a change to the registry, and serve accordingly when this returns.

    Raises:
        PretuneError: it was refused.
    """
    await shelf.apart(change)
    await shelf.refresh(holder)
