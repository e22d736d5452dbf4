"""Paths from one folder to what lies elsewhere."""

import os
from pathlib import Path


def relative_path(path: Path, folder: Path) -> str:
    """``path`` as a file in ``folder`` names it, with "/" on every system.

    The system takes ".." from where a folder lies, and not from the link that led to it. The names
    that were given are kept where they lead there all the same: they outlast a move of both.
    """
    named = os.path.relpath(path, folder)
    lies = folder.resolve()
    if (lies / named).resolve() != path.resolve():
        named = os.path.relpath(path.parent.resolve() / path.name, lies)
    return Path(named).as_posix()
