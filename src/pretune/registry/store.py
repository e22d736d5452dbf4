"""The registry: every operation, each whole or not at all.

What changes is one small file a task, replaced in one step by one writer at a time. Everything that
it names was written, whole, before it. Readers take no lock.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from pretune.core.digest import SHORT
from pretune.core.errors import AdapterError, SpecError, StorageError
from pretune.core.files import folder_lock, storage_errors
from pretune.core.names import is_task_name, unknown
from pretune.gating.evidence import Evidence, Subject
from pretune.registry.author import NOBODY, Author
from pretune.registry.files import MARKER, RegistryFiles
from pretune.registry.gates import check_is_of, passing, subject_of
from pretune.registry.state import Change, Entry, TaskState
from pretune.registry.version import Version

LOCK_SECONDS = 30
"""How long a writer waits for another one."""


def is_registry(folder: Path) -> bool:
    """Whether ``folder`` is a registry."""
    return (folder / MARKER).is_file()


class Registry:
    """The registry in the folder ``root``.

    Versions are named by digest, or by a beginning of it that no other version of the task has.

    Raises:
        StorageError: ``root`` is no registry, or one of a later format.
    """

    def __init__(self, root: Path | str) -> None:
        self.files = RegistryFiles(Path(root))
        self.files.check_marker()

    @classmethod
    def create(cls, root: Path | str) -> "Registry":
        """The registry in ``root``, made if the folder is new or empty.

        Raises:
            BusyError: the folder holds other work.
        """
        RegistryFiles(Path(root)).write_marker()
        return cls(root)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only writer.

        Raises:
            BusyError: another one took too long.
            StorageError: something in the block could not be read or written.
        """
        root = self.files.root
        with (
            folder_lock(root, "changing the registry", wait=LOCK_SECONDS),
            storage_errors("change", root),
        ):
            yield

    def names(self) -> list[str]:
        """All tasks, in order."""
        return self.files.task_names()

    def task(self, name: str) -> TaskState:
        """Where a task stands.

        Raises:
            UnknownName: no such task.
            StorageError: its file is damaged.
        """
        if is_task_name(name):
            with contextlib.suppress(FileNotFoundError):
                return self.files.read_state(name)
        raise unknown("task", name[:64], self.names())

    def version(self, digest: str) -> Version:
        """The record of a version, by its whole digest.

        Raises:
            StorageError: it is damaged, or was removed.
        """
        try:
            return self.files.read_version(digest)
        except FileNotFoundError:
            raise StorageError(f"version {digest[:SHORT]} was removed; add its run again") from None

    def versions(self, state: TaskState) -> list[str]:
        """Digests of a task's versions that are still here, oldest first."""
        here = set(self.files.version_names())
        return [digest for digest in state.added if digest in here]

    def find(self, state: TaskState, prefix: str) -> str:
        """The one version of a task whose digest begins with ``prefix``.

        Raises:
            UnknownName: none does.
            SpecError: several do.
        """
        known = self.versions(state)
        found = [digest for digest in known if prefix and digest.startswith(prefix)]
        if not found:
            raise unknown("version", prefix[:64], [digest[:SHORT] for digest in known])
        if len(found) > 1:
            listed = ", ".join(digest[:SHORT] for digest in found)
            raise SpecError(f'"{prefix}" begins several versions: {listed}; give more of it')
        return found[0]

    def version_of(self, name: str, subject: Subject) -> str | None:
        """The newest version of a task that is ``subject``; ``None`` if none is."""
        if name not in self.names():
            return None
        known = self.versions(self.task(name))
        return next((d for d in reversed(known) if subject_of(self.version(d)) == subject), None)

    def adapter_folder(self, version: Version) -> Path:
        """Where a version's adapter is."""
        return self.files.adapter_folder(version.adapter)

    def add(self, version: Version, adapter: Path, author: Author = NOBODY) -> TaskState:
        """Keep ``version`` and a copy of its adapter's folder; it answers once it is promoted.

        Adding what is here already changes nothing, but that a damaged copy is replaced.

        Raises:
            AdapterError: the adapter's folder is damaged.
        """
        with self.locked():
            name, digest = version.task, version.digest
            self.files.put_adapter(adapter, version.adapter)
            if not self._readable(digest):
                self.files.write_version(version)
            try:
                state = self.files.read_state(name)
            except FileNotFoundError:
                state = TaskState(task=name)
            if digest not in state.added or digest not in state.kept:
                state = state.then(Entry(what=Change.ADD, version=digest, **author.stamp()))
                self.files.write_state(state)
        return state

    def promote(
        self, name: str, prefix: str, author: Author = NOBODY, *, override: str | None = None
    ) -> TaskState:
        """Let a version answer, on the evidence of its last gate or by an ``override``, a reason
        that is kept. What answers already stays, without a new entry.

        A version whose spec has no goals promises nothing and needs no gate; one that it had
        counts.

        Raises:
            GoalMissed: its gate did not pass, or there was none, unless there is an ``override``.
            SpecError: an ``override`` that says nothing.
            StorageError: the evidence is damaged, or is not this version's.
            AdapterError: its adapter is damaged.
        """
        if override is not None and not override.strip():
            raise SpecError("an override needs a reason; it is kept in the task's history")

        def change(state: TaskState) -> TaskState:
            digest = self._usable(state, prefix)
            if digest == state.current:
                return state
            evidence = None
            if override is None:
                evidence = passing(self.files, state, self.version(digest))
            return state.then(
                Entry(
                    what=Change.PROMOTE,
                    version=digest,
                    evidence=evidence,
                    override=override,
                    **author.stamp(),
                )
            )

        return self._change(name, change)

    def gate(
        self, name: str, prefix: str, evidence: Evidence, author: Author = NOBODY
    ) -> TaskState:
        """Keep ``evidence`` of a version, with its model card. The last one counts.

        Raises:
            GoalMissed: it is of another version or task, or leaves goals out.
        """

        def change(state: TaskState) -> TaskState:
            digest = self.find(state, prefix)
            check_is_of(self.files, evidence, self.version(digest))
            self.files.write_evidence(evidence)
            return state.then(
                Entry(
                    what=Change.GATE,
                    version=digest,
                    evidence=evidence.digest,
                    verdict=evidence.verdict,
                    **author.stamp(),
                )
            )

        return self._change(name, change)

    def roll_back(self, name: str, author: Author = NOBODY) -> TaskState:
        """Return to the version that answered before the current one.

        Raises:
            SpecError: there is none.
        """

        def change(state: TaskState) -> TaskState:
            if state.previous is None:
                raise SpecError(
                    f'task "{name}" has no version before the current one; promote another'
                )
            digest = self._usable(state, state.previous)
            return state.then(Entry(what=Change.ROLL_BACK, version=digest, **author.stamp()))

        return self._change(name, change)

    def canary(
        self, name: str, prefix: str | None, share: float = 0.1, author: Author = NOBODY
    ) -> TaskState:
        """Let a version answer ``share`` of the requests; ``None`` ends it.

        Raises:
            SpecError: a share that is not between 0 and 1, or no other version is current.
        """

        def change(state: TaskState) -> TaskState:
            if prefix is None:
                if state.canary is None:
                    return state
                return state.then(Entry(what=Change.CANARY, **author.stamp()))
            if not 0 < share < 1:
                raise SpecError(f'share "{share:g}" is not between 0 and 1; for all, promote it')
            digest = self._beside_current(state, prefix, "canary")
            entry = Entry(what=Change.CANARY, version=digest, share=share, **author.stamp())
            return state.then(entry)

        return self._change(name, change)

    def shadow(self, name: str, prefix: str | None, author: Author = NOBODY) -> TaskState:
        """Ask a version everything the current one is asked, and only count where they agree;
        ``None`` ends it.

        Raises:
            SpecError: no other version is current.
        """

        def change(state: TaskState) -> TaskState:
            if prefix is None:
                if state.shadow is None:
                    return state
                return state.then(Entry(what=Change.SHADOW, **author.stamp()))
            digest = self._beside_current(state, prefix, "shadow")
            return state.then(Entry(what=Change.SHADOW, version=digest, **author.stamp()))

        return self._change(name, change)

    def remove(self, name: str) -> None:
        """Forget a task; its versions go with the next collection, if nobody uses them."""
        with self.locked():
            if not is_task_name(name) or name not in self.names():
                raise unknown("task", name[:64], self.names())
            self.files.remove(self.files.task_file(name))

    def signature(self) -> tuple[tuple[str, int, int, int], ...]:
        """Changes whenever a task or a version does; cheap enough to ask for every second."""
        paths = [self.files.versions, *map(self.files.task_file, self.names())]
        found = []
        for path in paths:
            with contextlib.suppress(FileNotFoundError), storage_errors("read", path):
                stat = path.stat()
                found.append((path.name, stat.st_ino, stat.st_size, stat.st_mtime_ns))
        return tuple(found)

    def _change(self, name: str, change: Callable[[TaskState], TaskState]) -> TaskState:
        with self.locked():
            before = self.task(name)
            after = change(before)
            if after is not before:
                self.files.write_state(after)
        return after

    def _usable(self, state: TaskState, prefix: str) -> str:
        """The version of ``prefix``, after a look at all of its files."""
        digest = self.find(state, prefix)
        adapter = self.version(digest).adapter
        if not self.files.adapter_whole(adapter):
            folder = self.files.adapter_folder(adapter)
            raise AdapterError(
                f'adapter "{folder}" of version {digest[:SHORT]} is damaged; add its run again'
            )
        return digest

    def _beside_current(self, state: TaskState, prefix: str, purpose: str) -> str:
        digest = self._usable(state, prefix)
        if state.current is None:
            raise SpecError(f'task "{state.task}" has no current version; promote one first')
        if digest == state.current:
            raise SpecError(
                f"version {digest[:SHORT]} is the current one; a {purpose} is another one"
            )
        return digest

    def _readable(self, digest: str) -> bool:
        try:
            self.files.read_version(digest)
        except (FileNotFoundError, StorageError):
            return False
        return True
