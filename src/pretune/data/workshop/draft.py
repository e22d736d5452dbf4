"""Files of rows that are written as a stream, and that a killed process can go on with.

The rows go to ``<name>.part``. Now and then they are forced to the disk and a journal says how many
units of work they hold and how many bytes that is. A later process cuts the parts to that length,
skips those units and goes on, so the bytes are those of an uninterrupted run. When all is written
the parts take their names.
"""

import contextlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from pretune.core.errors import BusyError, PretuneError, SpecError, StorageError
from pretune.core.files import folder_lock, storage_error, write_atomic
from pretune.data.workshop.lineage import add_line, left_over, output_of
from pretune.data.workshop.step import Step, Written

CHECKPOINT_ROWS = 4096
"""Rows between two checkpoints."""


@dataclass
class _Journal:
    """What is safe on the disk: units done, and the length of each part."""

    step: str
    units: int = 0
    bytes: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    complete: bool = False


class Draft:
    """Takes rows, unit by unit: a unit is what a resumed step would do again as a whole.

    ``units`` are done; a step begins by skipping as many. Made and closed by :func:`write_rows`.
    """

    def __init__(self, step: Step, files: Mapping[str, Path]) -> None:
        self.step = step
        self._files = dict(files)
        self._journal = _journal_of(files)
        self._handles: dict[str, BinaryIO] = {}
        self._pending: list[tuple[str, bytes]] = []
        self._counted: Counter[str] = Counter()
        self._unsaved = 0
        state = _Journal(step.digest)
        if self._journal.exists():
            state = _Journal(**json.loads(self._journal.read_text("utf-8")))
        self.complete = state.complete
        self.units = self.resumed_at = state.units
        self.counts = Counter(state.counts)
        self.rows = Counter({name: state.rows.get(name, 0) for name in files})
        if not self.complete:
            self._open(state)

    def _open(self, state: _Journal) -> None:
        for name, path in self._files.items():
            handle = self._handles[name] = _part(path).open("ab")
            if handle.tell() < state.bytes.get(name, 0):
                raise StorageError(
                    f'"{_part(path)}" is shorter than its journal says; begin anew with --overwrite'
                )
            handle.truncate(state.bytes.get(name, 0))

    def write(self, name: str, fields: Mapping[str, Any]) -> None:
        """Add a row to the file called ``name``; it is written when its unit ends."""
        line = json.dumps(fields, ensure_ascii=False, default=str)
        self._pending.append((name, line.encode() + b"\n"))

    def count(self, what: str, number: int = 1) -> None:
        """Count ``what``; it holds when the unit ends."""
        self._counted[what] += number

    def end_unit(self) -> None:
        """What was added since the last call belongs together and is done."""
        for name, line in self._pending:
            self._handles[name].write(line)
            self.rows[name] += 1
        self._unsaved += max(1, len(self._pending))
        self.counts.update(self._counted)
        self._pending.clear()
        self._counted.clear()
        self.units += 1
        if self._unsaved >= CHECKPOINT_ROWS:
            self.save()

    def save(self, *, complete: bool = False) -> None:
        """Force the ended units to the disk, and then the journal that speaks of them."""
        sizes = {}
        for name, handle in self._handles.items():
            handle.flush()
            os.fsync(handle.fileno())
            sizes[name] = handle.tell()
        rows, counts = dict(self.rows), dict(self.counts)
        state = _Journal(self.step.digest, self.units, sizes, rows, counts, complete)
        write_atomic(self._journal, json.dumps(vars(state)))
        self._unsaved = 0

    def written(self, name: str) -> Iterator[dict[str, Any]]:
        """Rows of the file called ``name`` that an earlier process left."""
        with _part(self._files[name]).open(encoding="utf-8", newline="\n") as file:
            yield from map(json.loads, file)

    def close(self) -> None:
        """Let go of the parts; ended units stay on the disk."""
        for handle in self._handles.values():
            handle.close()

    def publish(self) -> Written:
        """Give the complete parts their names and add the step's line to the lineage."""
        for path in self._files.values():
            if _part(path).exists():  # else an earlier process died after renaming it
                os.replace(_part(path), path)
        for path in _left_over(self.step, self._files):
            path.unlink()
        outputs = {p.name: output_of(p, self.rows[name]) for name, p in self._files.items()}
        written = self.so_far()
        line = {**self.step.line(), "outputs": outputs, "counts": written.counts}
        add_line(self._journal.parent, line)
        self._journal.unlink()
        return written

    def so_far(self) -> Written:
        """What the ended units hold."""
        return Written(self._files, dict(self.rows), dict(self.counts), self.resumed_at)


def write_rows(
    step: Step,
    files: Mapping[str, Path],
    work: Callable[[Draft], None],
    *,
    overwrite: bool = False,
) -> Written:
    """Let ``work`` fill the draft of ``files``, which lie in one folder; they appear when it ends.

    When it fails, or the process dies, the same call goes on where it was. With ``overwrite``, what
    the step wrote earlier beside ``files`` and does not write now goes when these appear.

    Raises:
        SpecError: one of ``files``, or of those that would go, is a source of ``step``.
        BusyError: another process writes into the folder; a file exists; or what was begun there
            had other settings or inputs.
        StorageError: the disk is full or the folder cannot be written.
    """
    journal = _journal_of(files)
    try:
        refuse_sources(step.sources, [*files.values(), *_left_over(step, files)])
        with folder_lock(journal.parent, "writing rows"):
            if overwrite:
                for path in (journal, *map(_part, files.values())):
                    path.unlink(missing_ok=True)
            else:
                refuse_others(step, files)
            draft = Draft(step, files)
            if not draft.complete:
                _fill(draft, work)
            return draft.publish()
    except OSError as error:
        if isinstance(error, PretuneError):
            raise
        raise storage_error("write", journal.parent, error) from error


def _fill(draft: Draft, work: Callable[[Draft], None]) -> None:
    try:
        work(draft)
        draft.save(complete=True)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.save()  # what was done before the failure need not be done again
        raise
    finally:
        draft.close()


def refuse_sources(sources: Sequence[Path], files: Iterable[Path]) -> None:
    """See that no source would be replaced by what is made of it.

    Raises:
        SpecError: one of ``files`` is one of ``sources``, under whatever name.
    """
    there = [source for source in sources if source.exists()]
    for path in files:
        if path.exists() and any(path.samefile(source) for source in there):
            raise SpecError(f'"{path}" is a file to be read; name another with --out')


def refuse_others(step: Step, files: Mapping[str, Path]) -> None:
    """See that ``files``, and what ``step`` wrote beside them, are not there, or were begun by it.

    Raises:
        BusyError: a file exists, or what was begun there had other settings or inputs.
    """
    journal = _journal_of(files)
    if journal.exists():
        if json.loads(journal.read_text("utf-8"))["step"] != step.digest:
            raise BusyError(
                f'"{journal}" was begun with other settings or inputs; go on with those, '
                "or begin anew with --overwrite"
            )
        return
    for path in [*files.values(), *_left_over(step, files)]:
        if path.exists():
            raise BusyError(f'"{path}" exists; name another with --out, or replace it: --overwrite')


def is_written(first: Path) -> bool:
    """Whether a step that writes ``first``, of its files the first one, is over: all of them have
    their names, which they take one after another."""
    return first.exists() and not _journal_of({"first": first}).exists()


def _left_over(step: Step, files: Mapping[str, Path]) -> list[Path]:
    paths = list(files.values())
    return left_over(paths[0].parent, step.name, [path.name for path in paths])


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _journal_of(files: Mapping[str, Path]) -> Path:
    first = next(iter(files.values()))
    return first.with_name(f"{first.name}.part.json")
