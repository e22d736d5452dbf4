"""Folders that belong to one long piece of work: what it is about must not change between calls."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pretune.core.errors import BusyError, StorageError
from pretune.core.files import write_atomic


def take_folder(
    record: Path,
    what: str,
    identity: Mapping[str, Any],
    *,
    overwrite: Sequence[str] | None = None,
    may_be_added: Sequence[str] = (),
    more: Mapping[str, Any] | None = None,
) -> None:
    """Make the folder of ``record`` that of the work called ``what``, or refuse it.

    The caller holds the folder's lock.

    Args:
        identity: what must be the same at every call, by the names a user knows.
        overwrite: begin anew, without these files and folders of earlier work.
        may_be_added: names that earlier calls need not have had.
        more: is kept beside the identity and may change.

    Raises:
        BusyError: the folder holds such work about something else.
        StorageError: its record is damaged.
    """
    before: dict[str, Any] = {}
    if overwrite is not None:
        for name in overwrite:
            path = record.parent / name
            path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)
    elif record.exists():
        try:
            before = json.loads(record.read_text("utf-8"))
        except ValueError as error:
            raise StorageError(
                f'"{record}" is damaged ({error}); begin anew with --overwrite'
            ) from error
        known = {name: identity.get(name) for name in may_be_added} | before
        if other := [name for name in identity if known.get(name) != identity[name]]:
            raise BusyError(
                f'"{record.parent}" holds {what} with other "{other[0]}"; go on with that, '
                "name another folder with --out, or begin anew with --overwrite"
            )
    text = json.dumps({**before, **identity, **(more or {})}, ensure_ascii=False, indent=1)
    write_atomic(record, text + "\n")
