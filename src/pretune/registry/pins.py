"""Pins: what a running process uses, which no collection may remove."""

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from pretune.core.errors import StorageError
from pretune.core.files import storage_errors, write_atomic


class Pin:
    """One process's pin: a list of versions, good for as long as the process lives.

    It holds a lock beside the list; the system frees it on any death, and a list without a lock
    counts for nothing. Made and changed under the registry's lock only.
    """

    def __init__(self, folder: Path) -> None:
        name = uuid4().hex
        self._list, self._held = folder / f"{name}.json", folder / f"{name}.lock"
        with storage_errors("write", self._held):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self._held, thread_local=False)
            self._lock.acquire(timeout=0)
        self.versions: frozenset[str] | None = None

    def hold(self, versions: Iterable[str]) -> None:
        """Keep these versions, and no others any more."""
        wanted = frozenset(versions)
        if wanted != self.versions:
            write_atomic(self._list, json.dumps(sorted(wanted)))
            self.versions = wanted

    def release(self) -> None:
        """Keep nothing. Files that stay behind count for nothing and go with a collection."""
        self._lock.release()
        for path in (self._list, self._held):
            with contextlib.suppress(OSError):
                path.unlink()


def pinned(folder: Path) -> frozenset[str]:
    """Versions that living processes hold; lists of the dead are removed. Ask under the lock only.

    Raises:
        StorageError: a living process's list cannot be read, so nothing is known.
    """
    held: set[str] = set()
    for lock in sorted(folder.glob("*.lock")):
        listed = lock.with_suffix(".json")
        with _taken(lock) as dead:
            if dead:
                listed.unlink(missing_ok=True)
                lock.unlink(missing_ok=True)
                continue
        try:
            held.update(json.loads(listed.read_bytes()))
        except FileNotFoundError:
            continue  # it holds nothing yet, or ends just now, which waits for no lock
        except (OSError, ValueError, TypeError) as error:
            raise StorageError(
                f'"{listed}" is damaged; restart the server that wrote it'
            ) from error
    return frozenset(held)


@contextlib.contextmanager
def _taken(path: Path) -> Iterator[bool]:
    """Whether nobody held ``path``; if so, it is held in this block."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
