"""Word lists on disk: sections of comma-separated entries, or `a | b | c` lines."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "words"


@cache
def sections(name: str) -> dict[str, list[str]]:
    """`[section]` headings with entries separated by commas; `#` starts a comment line."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            heading = line.strip("[]")
            found[heading] = []
        elif line and not line.startswith("#"):
            found[heading] += [entry.strip() for entry in re.split(r"[,，]", line) if entry.strip()]
    return found


@cache
def columns(name: str) -> list[list[str]]:
    """Lines of fields separated by `|`."""
    lines = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [
        [field.strip() for field in line.split("|")]
        for line in lines
        if line and not line.startswith("#")
    ]
