"""Rows that are not used: which, why, and the file that keeps them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pretune.core.files import write_atomic
from pretune.core.records import Example

FILE_NAME = "rejected.jsonl"


class Reason(StrEnum):
    """Why a row is not used; the value is what reports print."""

    BROKEN = "broken line"
    ENCODING = "wrong encoding"
    MISSING_COLUMN = "missing column"
    BAD_MESSAGES = "bad messages"
    EMPTY_INPUT = "empty input"
    EMPTY_TARGET = "empty target"
    UNKNOWN_LABEL = "unknown label"
    NO_CONTEXT = "no context"
    TOO_LONG = "too long"
    DUPLICATE = "duplicate"
    CONTRADICTORY = "contradictory label"
    LEAK = "leaks into another split"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that is not used. ``detail`` never holds the row's content and may be shown anywhere;
    ``content`` goes to the rejected file only."""

    row_id: str
    reason: Reason
    detail: str
    content: Any = None


def reject(example: Example, reason: Reason, detail: str) -> Rejected:
    """``example`` as a rejected row, with its turns as the content."""
    content = [{turn.role.value: turn.text} for turn in example.turns]
    return Rejected(example.row_id, reason, detail, content)


def write_rejected(path: Path, rejected: Iterable[Rejected]) -> None:
    """Write one JSON object a row to ``path``: row id, reason, detail, content.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    lines = [
        json.dumps(
            {
                "row": row.row_id,
                "reason": row.reason.value,
                "detail": row.detail,
                "content": row.content,
            },
            ensure_ascii=True,  # content may hold surrogates that UTF-8 cannot
            default=str,
        )
        for row in rejected
    ]
    write_atomic(path, "".join(f"{line}\n" for line in lines))
