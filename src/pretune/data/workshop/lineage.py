"""The lineage: one line for each step that wrote files into a folder."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pretune.core import digest
from pretune.core.errors import DataError
from pretune.core.files import write_atomic

FILE_NAME = "lineage.jsonl"


def read_lineage(folder: Path) -> list[dict[str, Any]]:
    """The lines of ``folder``'s lineage, oldest first; none where there is no lineage.

    Raises:
        DataError: the file is damaged.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return []
    try:
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    except ValueError as error:
        raise DataError(f'"{path}" is damaged: {error}; move it away') from error


def add_line(folder: Path, line: Mapping[str, Any]) -> None:
    """Add what a step did; an earlier line about any of the same files is replaced.

    The caller holds the folder's lock. Nothing depends on the clock, so equal steps write equal
    lines.
    """
    written = set(line["outputs"])
    kept = [old for old in read_lineage(folder) if not written & set(old["outputs"])]
    text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in [*kept, line])
    write_atomic(folder / FILE_NAME, text)


def left_over(folder: Path, step: str, outputs: Collection[str]) -> list[Path]:
    """Files that ``step`` wrote earlier beside any of ``outputs``, and would not write now.

    They belong to what is replaced. A file that was changed since is no longer the step's.

    Raises:
        DataError: the lineage is damaged.
    """
    return [
        folder / name
        for line in read_lineage(folder)
        if line["step"] == step and not set(outputs).isdisjoint(line["outputs"])
        for name, output in line["outputs"].items()
        if name not in outputs
        and (folder / name).is_file()
        and digest.of_file(folder / name) == output["digest"]
    ]


def output_of(path: Path, rows: int) -> dict[str, Any]:
    """How a line speaks of the finished file ``path``."""
    return {"digest": digest.of_file(path), "rows": rows}
