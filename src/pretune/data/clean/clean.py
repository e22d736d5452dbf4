"""Cleaning: the training rows that stay, those taken out, those to look at, and the page."""

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pretune.core.errors import DataError
from pretune.core.files import folder_lock, storage_errors, write_atomic
from pretune.data.clean.examine import SPLITS, Asked, Examined, Progress, examine, rows_of
from pretune.data.clean.report import Cleaned, Sample, render
from pretune.data.splits import Split
from pretune.data.workshop.draft import Draft, refuse_others, refuse_sources, write_rows
from pretune.data.workshop.step import Step, Written
from pretune.data.workshop.tracked import file_digests
from pretune.spec.cleaning import CleanSpec, Flag
from pretune.spec.task import TaskSpec

SAMPLES = 8
"""Rows of each flag that the page shows."""

_SHOWN = 400
"""Characters of a row that the page shows."""


def clean_rows(
    task: TaskSpec,
    out: Path,
    spec: CleanSpec,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Cleaned:
    """Examine ``task``'s rows and write into the folder ``out``: ``train.jsonl``, the training rows
    that stay, as they were; ``removed.jsonl`` and ``flagged.jsonl``, each with flags, row id, the
    row that is alike, and the row; and ``report.html``.

    Validation and test rows are compared with and never changed. Rows that a task cannot use (see
    ``pretune check``) are counted and left out. A killed run looks at all rows again, and goes on
    where it was in writing them.

    Raises:
        SpecError: a file to be read would be replaced.
        DataError: a file that cannot be read, or no training row.
        StorageError: the folder cannot be written.
        BusyError: another process cleans into the folder; see also
            :func:`pretune.data.workshop.draft.write_rows`.
    """
    step = _step(task, spec)
    files = {name: out / f"{name}.jsonl" for name in ("train", "removed", "flagged")}
    refuse_sources(step.sources, files.values())
    with _scratch(out) as folder:
        if not overwrite:
            refuse_others(step, files)
        with examine(task, spec, folder, progress) as found:
            return _write(task, spec, step, files, found, overwrite, progress)


@contextlib.contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """A folder for what is needed while cleaning; what a killed process left there goes."""
    folder = out / "cleaning.part"
    with folder_lock(folder, "cleaning"), storage_errors("write", out):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _step(task: TaskSpec, spec: CleanSpec) -> Step:
    settings = {**spec.model_dump(mode="json"), "task": task.digest()}
    return Step("clean", task.name, settings, file_digests(task.data.files), task.data.files)


def _write(
    task: TaskSpec,
    spec: CleanSpec,
    step: Step,
    files: Mapping[str, Path],
    found: Examined,
    overwrite: bool,
    progress: Progress | None,
) -> Cleaned:
    """Write the rows as ``found`` has them, and the page."""
    train = int((found.splits == SPLITS.index(Split.TRAIN)).sum())
    if not train:
        raise DataError(
            f'task "{task.name}" has no training row that can be used; see: pretune check'
        )

    def result(written: Written) -> Cleaned:
        return Cleaned(
            task.name,
            written,
            train,
            {flag: int(found.flagged(flag).sum()) for flag in Flag},
            spec.remove,
            found.unreadable,
            found.boilerplate,
            _samples(found),
            files["train"].with_name("report.html"),
        )

    def work(draft: Draft) -> None:
        for asked in rows_of(task):
            if asked is None or asked.number < draft.units:
                continue
            _write_row(draft, asked, found, spec)
            draft.end_unit()
            if progress is not None:
                progress("written", 1)
        # Before the files have their names: once they do, the same call is refused.
        so_far = result(draft.so_far())
        write_atomic(so_far.page, render(so_far))

    return result(write_rows(step, files, work, overwrite=overwrite))


def _write_row(draft: Draft, asked: Asked, found: Examined, spec: CleanSpec) -> None:
    if asked.split is not Split.TRAIN:
        draft.count(f"{asked.split}: compared with")
        return
    flags = found.flags_of(asked.number)
    removed = [flag for flag in flags if flag in spec.remove]
    if not removed:
        draft.write("train", asked.row.fields)
    if flags:
        like = int(found.other[asked.number])
        draft.write(
            "removed" if removed else "flagged",
            {
                "flags": [flag.value for flag in flags],
                "row": asked.row.id,
                "like": None if like < 0 else found.notes[like].row,
                "doubt": _doubt(found, asked.number, digits=4),
                "content": asked.row.fields,
            },
        )
    draft.count("taken out" if removed else "kept")


def _samples(found: Examined) -> dict[Flag, tuple[Sample, ...]]:
    """Some rows of each flag: the most doubted of the doubted, the first of the others."""
    chosen: dict[Flag, tuple[Sample, ...]] = {}
    for flag in Flag:
        flagged = np.flatnonzero(found.flagged(flag))
        if flag is Flag.NOISE:
            flagged = flagged[np.argsort(-found.doubt[flagged], kind="stable")]
        if len(flagged):
            chosen[flag] = tuple(_sample(found, int(row)) for row in flagged[:SAMPLES])
    return chosen


def _sample(found: Examined, number: int) -> Sample:
    one, like = found.notes[number], int(found.other[number])
    other = None if like < 0 else found.notes[like]
    return Sample(
        one.row,
        _short(one.text),
        _short(one.answer),
        _doubt(found, number),
        other and other.row,
        other and _short(other.text),
        other and _short(other.answer),
    )


def _doubt(found: Examined, number: int, digits: int | None = None) -> float | None:
    doubt = float(found.doubt[number])
    if np.isnan(doubt):
        return None
    return doubt if digits is None else round(doubt, digits)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
