"""Content digests: the names of immutable things."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SHORT = 12
"""Characters of a digest that people are shown."""


def of_bytes(data: bytes) -> str:
    """SHA-256 of ``data`` in hex."""
    return hashlib.sha256(data).hexdigest()


def of_json(value: Any) -> str:
    """Digest of a JSON value, the same for any order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return of_bytes(text.encode())


def of_row(fields: Mapping[str, Any]) -> str:
    """Digest of a row's fields; what JSON does not know (a date of a Parquet file) counts as its
    text."""
    text = json.dumps(
        fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str
    )
    return of_bytes(text.encode())


def of_file(path: Path) -> str:
    """Digest of a file's bytes, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
