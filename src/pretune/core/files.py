"""Files that are either whole or not there: atomic writes, and locks on folders."""

import contextlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from pretune.core.errors import BusyError, PretuneError, StorageError

_UMASK = os.umask(0)
os.umask(_UMASK)
"""What this process leaves out of the mode of a new file; asked once, as asking changes it."""


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write ``data`` to ``path``, or leave what was there.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    with file_atomic(path) as draft:
        draft.write_bytes(data.encode() if isinstance(data, str) else data)


@contextlib.contextmanager
def file_atomic(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Yield an empty file beside ``path`` that becomes ``path`` when the block ends well.

    When the block fails, ``path`` is what it was and the draft is removed. Its mode is as before,
    or that of any new file; what is ``private`` is its owner's alone.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise storage_error("write", path, error) from error
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
        sync(draft)
        if not private:
            with contextlib.suppress(OSError):  # some disks know no modes
                draft.chmod(_mode(path))
        os.replace(draft, path)
        sync(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        if isinstance(error, OSError):
            raise storage_error("write", path, error) from error
        raise


def _mode(path: Path) -> int:
    """That of ``path``, or of a new file in its place."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return 0o666 & ~_UMASK


@contextlib.contextmanager
def folder_atomic(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path`` that becomes ``path`` when the block ends well.

    An existing ``path`` is replaced at the end; when the block or the replacement fails it stays as
    it was and the new folder is removed.

    Raises:
        StorageError: the disk is full or the parent cannot be written; where what ``path`` held
            could not be put back, the message says where it is.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    except OSError as error:
        raise storage_error("write", path, error) from error
    try:
        yield draft
        for item in (*draft.rglob("*"), draft):
            sync(item)
        draft.chmod(0o755)
        if path.exists():
            _exchange(draft, path)
        else:
            os.replace(draft, path)
        sync(path.parent)
        _forget_old(path)
    except BaseException as error:
        shutil.rmtree(draft, ignore_errors=True)
        if isinstance(error, OSError):
            raise storage_error("write", path, error) from error
        raise


def _exchange(draft: Path, path: Path) -> None:
    """Put ``draft`` in the place of ``path``: a folder that is not empty cannot be renamed over."""
    aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".old"))
    old = aside / path.name
    try:
        os.replace(path, old)
        os.replace(draft, path)
    except BaseException as error:
        try:
            if old.exists():
                os.replace(old, path)
            aside.rmdir()
        except OSError as again:
            reason = again.strerror or str(again)
            raise OSError(again.errno, f'{reason} (what it held is in "{old}")') from error
        raise


def _forget_old(path: Path) -> None:
    """Remove what ``path`` held before, also before an exchange that was killed half-way; what
    cannot be removed stays under its hidden name."""
    aside = re.compile(rf"\.{re.escape(path.name)}\.\w+\.old")
    with contextlib.suppress(OSError):
        for one in path.parent.iterdir():
            if aside.fullmatch(one.name):
                shutil.rmtree(one, ignore_errors=True)


@contextlib.contextmanager
def folder_lock(path: Path, purpose: str, *, wait: float = 0) -> Iterator[None]:
    """Hold ``path`` for this process while the block runs; the system frees it on any death.

    Raises:
        BusyError: another process still holds it after ``wait`` seconds.
        StorageError: the folder cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / ".lock")
        lock.acquire(timeout=wait, poll_interval=0.01)
    except Timeout as error:
        raise BusyError(
            f'another process is {purpose} in "{path}"; wait for it or choose another folder'
        ) from error
    except OSError as error:
        raise storage_error("lock", path, error) from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def storage_errors(verb: str, path: Path) -> Iterator[None]:
    """Turn whatever the system refuses in this block into a StorageError about ``path``."""
    try:
        yield
    except PretuneError:
        raise
    except OSError as error:
        raise storage_error(verb, path, error) from error


def sync(path: Path) -> None:
    """Make a file's content, or the names in a folder, last through a loss of power."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders, and has nothing of the kind
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def storage_error(verb: str, path: Path, error: OSError) -> StorageError:
    """What to raise where the system could not ``verb`` (write, read) ``path``."""
    reason = error.strerror or str(error)
    return StorageError(f'cannot {verb} "{path}": {reason}; free space or choose another folder')
