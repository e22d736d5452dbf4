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
    parts: Sequence[str],
    anew: Sequence[str] | None = None,
    may_be_added: Sequence[str] = (),
    more: Mapping[str, Any] | None = None,
) -> None:
    """Make the folder of ``record`` that of the work called ``what``, or refuse it.

    The caller holds the folder's lock.

    Args:
        identity: what must be the same at every call, by the names a user knows.
        parts: files and folders that the work makes beside its record.
        anew: begin anew, without these of the ``parts``.
        may_be_added: names that earlier calls need not have had.
        more: is kept beside the identity and may change.

    Raises:
        BusyError: the folder holds such work about something else, or what is of no such work.
        StorageError: its record is damaged.
    """
    before: dict[str, Any] = {}
    there = next((name for name in parts if (record.parent / name).exists()), None)
    if there is not None and not record.exists():
        # Whose it is nobody knows: it is neither written into nor removed, whatever was asked.
        raise BusyError(
            f'"{record.parent}" holds "{there}" and no "{record.name}", so it is not of {what}; '
            "name another folder with --out, or move it away"
        )
    if anew is not None:
        for name in anew:
            path = record.parent / name
            path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)
    elif record.exists():
        try:
            before = json.loads(record.read_text("utf-8"))
            if not isinstance(before, dict):
                raise ValueError("it names nothing")
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
