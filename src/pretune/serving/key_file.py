"""Files of API keys: a hash a line, and the keys themselves nowhere."""

import errno
import os
import secrets
from pathlib import Path

from pretune.core.errors import SpecError
from pretune.core.files import storage_errors
from pretune.serving.keys import Keys, hashed


def read_keys(path: Path | None) -> Keys:
    """The hashes in a key file, one a line.

    Raises:
        SpecError: no such file, no hash in it, or a line that is none.
    """
    if path is None:
        return Keys()
    hashes = _hashes(path)
    if not hashes:
        raise SpecError(f'"{path}" holds no key; add one with: pretune serve --new-key "{path}"')
    return Keys(hashes)


def new_key(path: Path) -> str:
    """Make a key, add its hash to ``path``, and return the key, which is kept nowhere.

    Raises:
        SpecError: the file is there and holds something else than hashes.
        StorageError: it cannot be written.
    """
    key = secrets.token_urlsafe(32)
    line = f"{hashed(key)}\n"
    if path.exists() and _hashes(path) and not path.read_bytes().endswith(b"\n"):
        line = f"\n{line}"
    with storage_errors("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _append(path, line.encode())
    return key


def _append(path: Path, data: bytes) -> None:
    """In one piece, so that of several who do so at once none is lost."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        written = os.write(handle, data)
        if written < len(data):
            os.ftruncate(handle, os.fstat(handle).st_size - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(handle)
    finally:
        os.close(handle)


def _hashes(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f'cannot read keys from "{path}": {error}') from error
    if any(len(line) != 64 or set(line) - set("0123456789abcdef") for line in lines):
        raise SpecError(f'"{path}" holds a line that is no hash of a key; keys are kept as hashes')
    return lines
