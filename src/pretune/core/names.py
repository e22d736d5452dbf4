"""Names: which are fit for a task, and the nearest known one for messages."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

from pretune.core.errors import UnknownName


def is_task_name(value: str) -> bool:
    """Whether a task may have this name; it is safe as part of a path or an address as well."""
    return len(value) <= 64 and re.fullmatch(r"\w[\w.-]*", value) is not None


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to ``name``, or ``None`` when nothing is close."""
    matches = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def unknown(kind: str, name: str, known: Iterable[str]) -> UnknownName:
    """The error for a ``name`` that is not among ``known``; raise what it returns.

    >>> str(unknown("method", "lorra", ["lora", "dora"]))
    'unknown method "lorra"; did you mean "lora"? known: dora, lora'
    """
    names = sorted(known)
    guess = nearest(name, names)
    hint = f' did you mean "{guess}"?' if guess else ""
    return UnknownName(f'unknown {kind} "{name}";{hint} known: {", ".join(names)}')


def near_files(path: Path) -> str:
    """The end of a message about a missing ``path``: the file meant, or those beside it."""
    folder = path.parent
    if not folder.is_dir():
        return f' folder "{folder}" does not exist either; check the path'
    names = sorted(item.name for item in folder.iterdir() if not item.name.startswith("."))
    guess = nearest(path.name, names)
    hint = f' did you mean "{guess}"?' if guess else ""
    same = [name for name in names if Path(name).suffix == path.suffix] or names
    more = f" and {len(same) - 8} more" if len(same) > 8 else ""
    listed = f' "{folder}" holds: {", ".join(same[:8])}{more}' if same else f' "{folder}" is empty'
    return f"{hint}{listed}"
