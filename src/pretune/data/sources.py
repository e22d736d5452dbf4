"""Where rows come from: one reader a format, and the errors of a file that is not there."""

from collections.abc import Callable, Iterator
from pathlib import Path

from pretune.core.errors import DataError
from pretune.core.names import near_files
from pretune.core.records import Row
from pretune.data.jsonrows import read_json, read_jsonl
from pretune.data.rejected import Rejected
from pretune.data.tablerows import read_csv, read_hub, read_parquet, read_tsv
from pretune.spec.data import HubSource, Source

Reader = Callable[[Path, str], Iterator[Row | Rejected]]

READERS: dict[str, Reader] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".json": read_json,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": read_parquet,
}
"""The reader of each file type, by suffix. A reader takes a path and an encoding."""


def read_rows(source: Source, encoding: str = "utf-8") -> Iterator[Row | Rejected]:
    """Rows of ``source`` in order; a row that cannot be read comes as ``Rejected`` in its place.

    A row's id is ``file:line``, with the line on which the record starts, from 1; where a format
    has no lines it is the record's number. Text formats, except ``.json``, are read as a stream.

    Raises:
        DataError: no such file, an unknown file type, or a file that is broken as a whole.
    """
    if isinstance(source, HubSource):
        return read_hub(source)
    if not source.exists():
        raise DataError(f'no data file "{source}";{near_files(source)}')
    if source.is_dir():
        raise DataError(f'"{source}" is a folder; name the file in it')
    reader = READERS.get(source.suffix.lower())
    if reader is None:
        raise DataError(
            f'unknown file type "{source.suffix}" of "{source}"; known: {", ".join(READERS)}'
        )
    return reader(source, encoding)
