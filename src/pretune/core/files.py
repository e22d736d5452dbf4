"""Files that are either whole or not there: atomic writes, and locks on folders."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from pretune.core.errors import BusyError, StorageError


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write ``data`` to ``path``, or leave what was there.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    with file_atomic(path) as draft:
        draft.write_bytes(data.encode() if isinstance(data, str) else data)


@contextlib.contextmanager
def file_atomic(path: Path) -> Iterator[Path]:
    """Yield an empty file beside ``path`` that becomes ``path`` when the block ends well.

    When the block fails, ``path`` is what it was and the draft is removed.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise storage_error("write", path, error) from error
    os.close(handle)
    try:
        yield Path(name)
        with open(name, "rb") as file:
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(name)
        if isinstance(error, OSError):
            raise storage_error("write", path, error) from error
        raise


@contextlib.contextmanager
def folder_atomic(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path`` that becomes ``path`` when the block ends well.

    An existing ``path`` is replaced at the end; when the block fails it stays as it was and the new
    folder is removed.

    Raises:
        StorageError: the disk is full or the parent cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    except OSError as error:
        raise storage_error("write", path, error) from error
    try:
        yield draft
        for file in draft.rglob("*"):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
        draft.chmod(0o755)
        if path.exists():
            old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
            os.replace(path, old / path.name)
            os.replace(draft, path)
            shutil.rmtree(old)
        else:
            os.replace(draft, path)
    except BaseException as error:
        shutil.rmtree(draft, ignore_errors=True)
        if isinstance(error, OSError):
            raise storage_error("write", path, error) from error
        raise


@contextlib.contextmanager
def folder_lock(path: Path, purpose: str) -> Iterator[None]:
    """Hold ``path`` for this process while the block runs; the system frees it on any death.

    Raises:
        BusyError: another process holds it.
    """
    path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise BusyError(
            f'another process is {purpose} in "{path}"; wait for it or choose another folder'
        ) from error
    try:
        yield
    finally:
        lock.release()


def storage_error(verb: str, path: Path, error: OSError) -> StorageError:
    """What to raise where the system could not ``verb`` (write, read) ``path``."""
    reason = error.strerror or str(error)
    return StorageError(f'cannot {verb} "{path}": {reason}; free space or choose another folder')
