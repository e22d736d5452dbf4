"""Phrases of word files and records of value tables."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pretune.core.errors import DataError, SpecError
from pretune.core.names import near_files
from pretune.core.records import Row
from pretune.data.rejected import Rejected
from pretune.data.sources import read_rows
from pretune.data.template import plain
from pretune.spec.expression import Expression
from pretune.spec.phrase import Phrase, Text, parse_phrase
from pretune.spec.rules import PhraseSpec

_HEAD = re.compile(r"\[(.+)\]")
_BAR = re.compile(r"\|(?![^(]*\))")  # not the bar of a choice


@dataclass(frozen=True)
class Entry:
    """One phrase of a slot, parsed."""

    text: str
    phrase: Phrase
    weight: float = 1.0
    when: Expression | None = None


@dataclass(frozen=True)
class Record:
    """A row of a value table: phrases by column."""

    columns: Mapping[str, Phrase]


def entry_of(spec: PhraseSpec) -> Entry:
    """``spec``, parsed."""
    when = None if spec.when is None else Expression(spec.when)
    return Entry(spec.say, parse_phrase(spec.say), spec.weight, when)


def read_words(path: Path) -> dict[str, tuple[Entry, ...]]:
    """Phrases by slot. ``[name]`` on a line opens a slot; its phrases stand one a line or between
    bars; lines that begin with ``#`` are comments.

    Raises:
        DataError: a file that cannot be read.
        SpecError: a phrase before any slot, a slot that stands twice, or one without phrases.
    """
    try:
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise DataError(f'no words file "{path}";{near_files(path)}') from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f'cannot read words from "{path}": {error}; save it as UTF-8') from error
    sections: dict[str, list[str]] = {}
    found: list[str] | None = None
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        if head := _HEAD.fullmatch(line.strip()):
            if head[1] in sections:
                raise SpecError(
                    f'"{path}", line {number}: slot "{head[1]}" stands twice; join them'
                )
            found = sections.setdefault(head[1], [])
        elif found is None:
            raise SpecError(
                f'"{path}", line {number}: a phrase before any slot; write [name] first'
            )
        else:
            found += [entry.strip() for entry in _BAR.split(line)]
    if empty := [name for name, entries in sections.items() if not entries]:
        raise SpecError(f'"{path}": slot "{empty[0]}" has no phrases')
    return {
        name: tuple(Entry(text, parse_phrase(text)) for text in texts)
        for name, texts in sections.items()
    }


def read_table(name: str, rows: Sequence[Mapping[str, str]] | Path) -> tuple[Record, ...]:
    """The records of the table called ``name``; cells of a file are plain text.

    Raises:
        DataError: a file, or a row of it, that cannot be read.
    """
    if not isinstance(rows, Path):
        return tuple(Record({k: parse_phrase(v) for k, v in row.items()}) for row in rows)
    records = []
    for row in read_rows(rows):
        if isinstance(row, Rejected):
            raise DataError(f'table "{name}", {row.row_id}: {row.detail}')
        records.append(_literal(row))
    if not records:
        raise DataError(f'table "{name}": "{rows}" holds no rows')
    return tuple(records)


def _literal(row: Row) -> Record:
    return Record({key: (Text(plain(value)),) for key, value in row.fields.items()})
