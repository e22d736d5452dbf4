"""Cleaning: the training rows that stay, those taken out, those to look at, and the page."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from pretune.core.errors import DataError
from pretune.core.files import storage_error, write_atomic
from pretune.data.clean.examine import SPLITS, Asked, Examined, examine, rows_of
from pretune.data.clean.report import Cleaned, Sample, render
from pretune.data.splits import Split
from pretune.data.workshop.draft import Draft, write_rows
from pretune.data.workshop.step import Step
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
    progress: Callable[[int], None] | None = None,
) -> Cleaned:
    """Examine ``task``'s rows and write into the folder ``out``: ``train.jsonl``, the training rows
    that stay, as they were; ``removed.jsonl`` and ``flagged.jsonl``, each with flags, row id, the
    row that is alike, and the row; and ``report.html``.

    Validation and test rows are compared with and never changed. Rows that a task cannot use (see
    ``pretune check``) are counted and left out.

    Raises:
        DataError: a file that cannot be read, or no training row.
        StorageError: the folder cannot be written.
        BusyError: see :func:`pretune.data.workshop.draft.write_rows`.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error("write", out, error) from error
    paths = [
        source
        for split in ("train", "validation", "test")
        for source in getattr(task.data, split) or ()
        if isinstance(source, Path)
    ]
    found = examine(task, spec, out, progress)
    train = int((found.splits == SPLITS.index(Split.TRAIN)).sum())
    if not train:
        raise DataError(
            f'task "{task.name}" has no training row that can be used; see: pretune check'
        )
    files = {name: out / f"{name}.jsonl" for name in ("train", "removed", "flagged")}
    settings = {**spec.model_dump(mode="json"), "task": task.digest()}
    step = Step("clean", task.name, settings, file_digests(list(dict.fromkeys(paths))))
    ids = _ids_of_others(task, found)

    def work(draft: Draft) -> None:
        for asked in rows_of(task):
            if asked is None or asked.number < draft.units:
                continue
            _write(draft, asked, found, spec, ids)
            draft.end_unit()

    written = write_rows(step, files, work, overwrite=overwrite)
    result = Cleaned(
        task.name,
        written,
        train,
        {flag: int(found.flagged(flag).sum()) for flag in Flag},
        spec.remove,
        found.unreadable,
        found.boilerplate,
        _samples(task, found),
        out / "report.html",
    )
    write_atomic(result.page, render(result))
    return result


def _write(
    draft: Draft, asked: Asked, found: Examined, spec: CleanSpec, ids: Mapping[int, str]
) -> None:
    if asked.split is not Split.TRAIN:
        draft.count(f"{asked.split}: compared with")
        return
    flags = found.flags_of(asked.number)
    removed = [flag for flag in flags if flag in spec.remove]
    if not removed:
        draft.write("train", asked.row.fields)
    if flags:
        doubt = float(found.doubt[asked.number])
        draft.write(
            "removed" if removed else "flagged",
            {
                "flags": [flag.value for flag in flags],
                "row": asked.row.id,
                "like": ids.get(int(found.other[asked.number])),
                "doubt": None if np.isnan(doubt) else round(doubt, 4),
                "content": asked.row.fields,
            },
        )
    draft.count("taken out" if removed else "kept")


def _ids_of_others(task: TaskSpec, found: Examined) -> dict[int, str]:
    """Row ids of the rows that others are like."""
    wanted = set(found.other[found.other >= 0].tolist())
    if not wanted:
        return {}
    return {
        asked.number: asked.row.id
        for asked in rows_of(task)
        if asked is not None and asked.number in wanted
    }


def _samples(task: TaskSpec, found: Examined) -> dict[Flag, tuple[Sample, ...]]:
    """Some rows of each flag: the most doubted of the doubted, the first of the others."""
    chosen: dict[Flag, list[int]] = {}
    for flag in Flag:
        flagged = np.flatnonzero(found.flagged(flag))
        if flag is Flag.NOISE:
            flagged = flagged[np.argsort(-found.doubt[flagged], kind="stable")]
        if len(flagged):
            chosen[flag] = flagged[:SAMPLES].tolist()
    numbers = {number for rows in chosen.values() for number in rows}
    numbers |= {int(found.other[number]) for number in numbers}
    seen = {one.number: one for one in rows_of(task) if one is not None and one.number in numbers}
    return {
        flag: tuple(
            _sample(seen[row], float(found.doubt[row]), seen.get(int(found.other[row])))
            for row in rows
        )
        for flag, rows in chosen.items()
    }


def _sample(one: Asked, doubt: float, other: Asked | None) -> Sample:
    return Sample(
        one.row.id,
        _short(one.text),
        _short(one.answer),
        None if np.isnan(doubt) else doubt,
        other and other.row.id,
        other and _short(other.text),
        other and _short(other.answer),
    )


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
