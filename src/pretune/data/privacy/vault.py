"""The vault: what each pseudonym stands for, sealed with the key, in one SQLite file."""

import json
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag

from pretune.core.errors import BusyError, DataError, StorageError
from pretune.core.names import near_files
from pretune.data.privacy.keyfile import Key

_PAD = 32
"""Sealed entries are as long as a multiple of this many bytes: a length would tell of a value."""

_CHECK = "pretune vault 1"
_WAIT = 60.0
"""Seconds that a process waits for another that writes into the same vault."""


class Entry(NamedTuple):
    """A pseudonym, the value that it names, and how the value was first written."""

    pseudonym: str
    value: str
    text: str


class Vault:
    """Entries by pseudonym, on the disk; memory does not grow with them.

    Several processes may add to one vault. Close it, or use it as a context.

    Raises:
        DataError: no vault, a damaged one, or one that another key sealed.
        StorageError: the file cannot be written. BusyError: another process holds it for too long.
    """

    def __init__(self, path: Path, key: Key, *, create: bool = False) -> None:
        self._path = path
        self._key = key
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        elif not path.is_file():
            raise DataError(f'no vault "{path}";{near_files(path)}')
        self._base = sqlite3.connect(path, timeout=_WAIT, isolation_level=None)
        try:
            self._run("PRAGMA synchronous = FULL")
            if self._run("PRAGMA quick_check") != [("ok",)]:
                raise self._damaged()
            if create:
                self._run("CREATE TABLE IF NOT EXISTS entries (name TEXT PRIMARY KEY, sealed BLOB)")
                self._insert(Entry(_CHECK, "", ""))
            if self._entry(_CHECK) is None:
                raise self._damaged()
        except BaseException:
            self._base.close()
            raise

    def __enter__(self) -> "Vault":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()

    def add(self, entries: Iterable[Entry]) -> None:
        """Take ``entries`` in; they are on the disk when this returns. Known ones stay as they are.

        Raises:
            DataError: two values have one pseudonym.
        """
        self._run("BEGIN IMMEDIATE")
        try:
            for entry in entries:
                if not self._insert(entry) and self._known(entry.pseudonym).value != entry.value:
                    raise DataError(
                        f'two values share the pseudonym "{entry.pseudonym}", a chance of one in '
                        "thousands; begin anew with another key file"
                    )
        except BaseException:
            self._base.rollback()
            raise
        self._run("COMMIT")

    def text_of(self, pseudonym: str) -> str | None:
        """What ``pseudonym`` stands for, as it was first written; ``None`` for an unknown one."""
        entry = self._entry(pseudonym)
        return None if entry is None else entry.text

    def __len__(self) -> int:
        count: int = self._run("SELECT count(*) FROM entries")[0][0]
        return count - 1

    def _insert(self, entry: Entry) -> bool:
        """Whether it was new."""
        data = json.dumps([entry.value, entry.text]).encode()
        padded = data + b" " * (-len(data) % _PAD)
        sealed = self._key.seal(padded, entry.pseudonym.encode())
        done = self._run(
            "INSERT OR IGNORE INTO entries VALUES (?, ?) RETURNING 1", entry.pseudonym, sealed
        )
        return bool(done)

    def _known(self, pseudonym: str) -> Entry:
        entry = self._entry(pseudonym)
        assert entry is not None
        return entry

    def _entry(self, pseudonym: str) -> Entry | None:
        rows = self._run("SELECT sealed FROM entries WHERE name = ?", pseudonym)
        if not rows:
            return None
        try:
            value, text = json.loads(self._key.open(rows[0][0], pseudonym.encode()))
        except (InvalidTag, TypeError, ValueError) as error:
            if pseudonym == _CHECK:
                raise DataError(
                    f'vault "{self._path}" was sealed with another key; name the key file that '
                    "was used for masking"
                ) from error
            raise self._damaged() from error
        return Entry(pseudonym, value, text)

    def _run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._base.execute(statement, values).fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname == "SQLITE_BUSY":
                raise BusyError(
                    f'another process is writing into "{self._path}"; wait for it'
                ) from error
            if error.sqlite_errorname.startswith(
                ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY")
            ):
                raise StorageError(
                    f'cannot write "{self._path}": {error}; free space or choose another file'
                ) from error
            raise self._damaged() from error
        except sqlite3.DatabaseError as error:
            raise self._damaged() from error

    def _damaged(self) -> DataError:
        return DataError(f'"{self._path}" is no vault, or a damaged one; restore it from a copy')
