"""The public corpus on disk: one xz file of JSON lines per source."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from pathlib import Path

VALIDATION = "valid"


def source_names(folder: Path) -> list[str]:
    """Names of the training sources in `folder`, sorted, the validation file left out."""
    names = sorted(path.name.removesuffix(".jsonl.xz") for path in folder.glob("*.jsonl.xz"))
    return [name for name in names if name != VALIDATION]


def read_rows(folder: Path, source: str) -> Iterator[dict[str, str]]:
    """Yield the rows of one source; each has at least a `text`."""
    with lzma.open(folder / f"{source}.jsonl.xz", "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def read_texts(folder: Path, source: str) -> list[str]:
    """The texts of one source, in file order."""
    return [row["text"].strip() for row in read_rows(folder, source)]
