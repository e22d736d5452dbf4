"""Rows of tables: CSV, TSV, Parquet, and data sets of the hub."""

import csv
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pretune.core.errors import DataError
from pretune.core.records import Row
from pretune.data.rejected import Reason, Rejected
from pretune.data.textlines import open_text, wrong_bytes
from pretune.spec.data import HubSource


def read_csv(path: Path, encoding: str) -> Iterator[Row | Rejected]:
    """Comma-separated records under a header; a quoted cell may span lines."""
    return _read_separated(path, encoding, delimiter=",", quoting=csv.QUOTE_MINIMAL)


def read_tsv(path: Path, encoding: str) -> Iterator[Row | Rejected]:
    """Tab-separated records under a header; quotes are plain characters, as the format has it."""
    return _read_separated(path, encoding, delimiter="\t", quoting=csv.QUOTE_NONE)


def _read_separated(
    path: Path, encoding: str, *, delimiter: str, quoting: Any
) -> Iterator[Row | Rejected]:
    csv.field_size_limit(sys.maxsize)  # a context may be longer than csv's 128 KiB
    with open_text(path, encoding, newline="") as file:
        records = csv.reader(file, delimiter=delimiter, quoting=quoting, strict=True)
        header = _header(records, path, encoding)
        while True:
            row_id = f"{path.name}:{records.line_num + 1}"
            try:
                cells = next(records)
            except StopIteration:
                return
            except csv.Error as error:
                yield Rejected(row_id, Reason.BROKEN, f"{error}; check the quotes")
                continue
            if not cells:
                continue
            if wrong := wrong_bytes(delimiter.join(cells), encoding):
                yield Rejected(row_id, Reason.ENCODING, wrong, cells)
            elif len(cells) != len(header):
                count = f"{len(cells)} cells under {len(header)} columns"
                yield Rejected(row_id, Reason.BROKEN, count, cells)
            else:
                yield Row(row_id, dict(zip(header, cells, strict=True)))


def _header(records: Any, path: Path, encoding: str) -> list[str]:
    try:
        header: list[str] = next(records, [])
    except csv.Error as error:
        raise DataError(f'"{path}", line 1: {error}; check the quotes of the header') from error
    if wrong := wrong_bytes(",".join(header), encoding):
        raise DataError(f'"{path}", line 1: {wrong}')
    _check_differ(header, path)
    return header


def _check_differ(columns: Sequence[str], path: Path) -> None:
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise DataError(f'"{path}" has two columns "{twice[0]}"; rename one')


def read_parquet(path: Path, encoding: str) -> Iterator[Row | Rejected]:
    """Records of a Parquet file in small batches; a row's number stands for its line.

    Raises:
        DataError: the file is no Parquet, or damaged; it holds a text that is no UTF-8 or a time
            that Python cannot tell; or two of its columns have one name.
    """
    del encoding  # Parquet is always UTF-8
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            _check_differ(file.schema_arrow.names, path)
            for batch in file.iter_batches(batch_size=1024):
                for fields in batch.to_pylist():
                    number += 1
                    yield Row(f"{path.name}:{number}", fields)
    except DataError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(f'cannot read "{path}" as Parquet after row {number}: {error}') from error


def read_hub(source: HubSource) -> Iterator[Row | Rejected]:
    """Records of a hub data set: streamed where a download is allowed, else from the local cache.

    Raises:
        DataError: the data set, its configuration or its split is not there.
    """
    import datasets

    name = "/".join(part for part in (source.hub, source.config, source.split) if part)
    try:
        with _network(source.allow_download):
            rows = datasets.load_dataset(
                source.hub,
                source.config,
                split=source.split,
                revision=source.revision,
                streaming=source.allow_download,
            )
        for number, fields in enumerate(rows, 1):
            yield Row(f"{name}:{number}", fields)
    except (ConnectionError, FileNotFoundError) as error:
        remedy = (
            "check the name and the network"
            if source.allow_download
            else 'set "allow_download: true" to fetch it'
        )
        raise DataError(f'data set "{source.hub}" is not at hand; {remedy}') from error
    except ValueError as error:
        raise DataError(f'cannot read data set "{source.hub}": {error}') from error


@contextmanager
def _network(allowed: bool) -> Iterator[None]:
    """Keep ``datasets`` off the network unless ``allowed``; its switch is global, so it is put back
    afterwards."""
    import datasets

    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or not allowed
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before
