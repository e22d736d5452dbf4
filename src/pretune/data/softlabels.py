"""Soft labels: what a teacher thinks of each training row, in a file beside the data.

JSON lines. The first says of what kind they are, the others hold one row each:

- ``labels``: ``scores``, a log-probability (nats) for each of the task's labels;
- ``tokens``: for each of the row's ``targets`` (token ids), the ``ids`` of the teacher's likeliest
  tokens and their ``scores``, followed by the log-probability of all other tokens together.

A row is found by its content, not by its place, so a file outlives a change of order.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from pretune.core import digest
from pretune.core.errors import DataError
from pretune.core.names import near_files
from pretune.core.records import TokenExample

DIGITS = 5
"""Decimals of a stored log-probability: far below what a teacher's own rounding makes of it."""

_FORMAT = "pretune soft labels, 1"
_ID = 16
"""Hex digits of a content digest that find a row."""


class SoftKind(StrEnum):
    """Over the task's labels, or over the tokens of a free answer."""

    LABELS = "labels"
    TOKENS = "tokens"


@dataclass(frozen=True, slots=True)
class SoftHeader:
    """What all rows of a file share. ``teacher`` names who was asked and how; ``labels`` are the
    task's, ``tokenizer`` is the digest of what numbers the tokens, each for its own kind."""

    kind: SoftKind
    teacher: str
    labels: tuple[str, ...] | None = None
    tokenizer: str | None = None

    def line(self) -> dict[str, Any]:
        """As the file's first line."""
        return {"format": _FORMAT, **asdict(self)}


@dataclass(frozen=True, slots=True)
class SoftRow:
    """``scores``: one run of log-probabilities for ``labels``, one for each target for ``tokens``;
    ``targets`` and ``ids`` are empty for ``labels``."""

    row_id: str
    content: str
    scores: tuple[tuple[float, ...], ...]
    targets: tuple[int, ...] = ()
    ids: tuple[tuple[int, ...], ...] = ()

    def line(self) -> dict[str, Any]:
        """As a line of the file.

        Raises:
            DataError: a score that is no log-probability.
        """
        _check_scores(self.scores, f"the teacher's output for row {self.row_id}")
        rounded = [[round(score, DIGITS) for score in run] for run in self.scores]
        line: dict[str, Any] = {"row": self.row_id, "content": self.content[:_ID]}
        if not self.targets:
            return {**line, "scores": rounded[0]}
        return {**line, "targets": self.targets, "ids": self.ids, "scores": rounded}


class SoftLabels:
    """A file of soft labels, read once to check it, then row by row: no more of it is held than
    where each row stands.

    Raises:
        DataError: no such file, another format, or a line that is broken or holds what is no
            log-probability; the message names the line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise DataError(
                f'no file of soft labels "{path}";{near_files(path)}; '
                "write it with: pretune data soften"
            )
        self.digest = digest.of_file(path)
        with path.open("rb") as file:
            self.header = self._header(file.readline())
            self._places = dict(self._scan(file))

    def check(self, examples: Sequence[TokenExample]) -> None:
        """Raise DataError unless there is a line for each of ``examples``."""
        missing = [one.row_id for one in examples if one.content[:_ID] not in self._places]
        if missing:
            others = f" and {len(missing) - 1} other rows" if len(missing) > 1 else ""
            raise DataError(
                f'soft labels "{self.path}" hold nothing for row {missing[0]}{others}, of '
                f"{len(examples)}: they were made of other rows or by another template, or the "
                "teacher could not read the row; write them again (pretune data soften "
                "--overwrite), or take the row out"
            )

    def read(self, examples: Sequence[TokenExample]) -> list[SoftRow]:
        """What the teacher thinks of ``examples``.

        Raises:
            DataError: nothing is known of one, or the file is not the one that was opened.
        """
        self.check(examples)
        found = []
        with self.path.open("rb") as file:
            for one in examples:
                file.seek(self._places[one.content[:_ID]])
                row = self._row(file.readline(), f"row {one.row_id}")
                if row.content != one.content[:_ID]:
                    raise DataError(f'"{self.path}" was changed while it was in use; begin again')
                found.append(row)
        return found

    def _header(self, line: bytes) -> SoftHeader:
        try:
            given = json.loads(line)
            if given.pop("format") != _FORMAT:
                raise ValueError
            labels = given.pop("labels")
            kind = SoftKind(given.pop("kind"))
            return SoftHeader(kind, labels=labels and tuple(labels), **given)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DataError(
                f'"{self.path}" is no file of soft labels (its first line says nothing of them); '
                "write one with: pretune data soften"
            ) from None

    def _scan(self, file: BinaryIO) -> Iterator[tuple[str, int]]:
        place, number = file.tell(), 1
        for line in file:
            number += 1
            yield self._row(line, f"line {number}").content, place
            place += len(line)

    def _row(self, line: bytes, where: str) -> SoftRow:
        try:
            given = json.loads(line)
            row = self._read(given)
        except (ValueError, KeyError, TypeError, IndexError):
            # The cause is left out: it could show a part of the line.
            raise DataError(
                f'"{self.path}", {where}: no soft label as its first line promises them; '
                "write the file again: pretune data soften --overwrite"
            ) from None
        _check_scores(row.scores, f'"{self.path}", {where}')
        return row

    def _read(self, given: Mapping[str, Any]) -> SoftRow:
        row_id, content = str(given["row"]), str(given["content"])
        if self.header.kind is SoftKind.LABELS:
            scores = tuple(float(score) for score in given["scores"])
            if len(scores) != len(self.header.labels or ()):
                raise ValueError
            return SoftRow(row_id, content, (scores,))
        targets = tuple(int(i) for i in given["targets"])
        ids = tuple(tuple(int(i) for i in run) for run in given["ids"])
        runs = tuple(tuple(float(score) for score in run) for run in given["scores"])
        if len({len(targets), len(ids), len(runs)}) > 1 or not targets:
            raise ValueError
        if any(len(scores) != len(ids[0]) + 1 for scores in runs) or {len(run) for run in ids} != {
            len(ids[0])
        }:
            raise ValueError
        return SoftRow(row_id, content, runs, targets, ids)


def other_tokens(whose: str, theirs: str | None, ours: str) -> DataError:
    """What to raise where ``whose`` distributions are over the tokens of another tokenizer."""
    return DataError(
        f'{whose} has another tokenizer ("{str(theirs)[: digest.SHORT]}", this base has '
        f'"{ours[: digest.SHORT]}"): token 17 of one is not token 17 of the other, so its '
        "distributions over tokens mean nothing here; take a teacher with this base's tokenizer, "
        "or learn its answers: pretune data label"
    )


def _check_scores(runs: Sequence[Sequence[float]], where: str) -> None:
    for run in runs:
        for score in run:
            if not math.isfinite(score) or score > 1e-3:  # a sum of float32 may pass zero a little
                raise DataError(
                    f'{where}: the score "{score}" is no log-probability; the teacher is broken, '
                    "or the file is: look at the teacher, then write the soft labels again"
                )
