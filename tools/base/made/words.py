"""Word lists on disk, in three forms: comma-separated entries, whole lines, `a | b | c` columns.

Headings stand in square brackets; a line that starts with `#` is a comment.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "words"


def content(name: str) -> list[str]:
    """The lines of a file that are neither empty nor comments."""
    lines = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


@cache
def phrases(name: str) -> dict[str, list[str]]:
    """Sections of whole lines; `\\n` in a line stands for a line break."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in content(name):
        if line.startswith("["):
            lines = found[line.strip("[]")] = []
        else:
            lines.append(line.replace("\\n", "\n"))
    return found


@cache
def sections(name: str) -> dict[str, list[str]]:
    """Sections of entries separated by commas."""
    return {
        heading: [entry.strip() for line in lines for entry in re.split("[,，]", line) if entry]
        for heading, lines in phrases(name).items()
    }


@cache
def columns(name: str) -> list[list[str]]:
    """Lines of fields separated by `|`."""
    return [[field.strip() for field in line.split("|")] for line in content(name)]
