"""Steps of the data workshop that ask a task's teacher: for answers, and for what it thinks."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pretune.api.local_teacher import LocalTeacher, Said, teacher_of
from pretune.bases import load_renderer
from pretune.core.batched import batched
from pretune.core.errors import SpecError
from pretune.core.origin import RowKind, made
from pretune.core.records import Example, Row, TokenExample
from pretune.data.dataset import read_examples
from pretune.data.rejected import Rejected
from pretune.data.softlabels import SoftHeader, SoftKind, SoftRow, other_tokens
from pretune.data.splits import Split
from pretune.data.template import Template, plain
from pretune.data.workshop.draft import Draft, write_rows
from pretune.data.workshop.step import Step, Written
from pretune.data.workshop.tracked import Tracked, Unread, file_digests, read_tracked
from pretune.spec.task import TaskSpec
from pretune.spec.template import parse

CONFIDENCE = "_confidence"
"""Column that holds the teacher's confidence in its answer, from 0 to 1."""

TOP = 16
"""Tokens of a free answer whose probabilities are kept one by one."""

_UNIT = 64
"""Rows that are asked together; what a kill costs."""


class _Asked(NamedTuple):
    """A row of the task, and how the teacher sees it."""

    row: Row
    example: Example


def label_rows(
    task: TaskSpec,
    sources: Sequence[Path],
    out: Path | str,
    *,
    least: float = 0.0,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Written:
    """Write the rows of ``sources`` with the answers of ``task``'s teacher to ``out``.

    They are synthetic rows whose parents are the rows that were asked. Rows that have an answer
    keep it to themselves: they are left out, and so are answers of a confidence under ``least``.

    Raises:
        SpecError: no teacher, or a target that is more than one column.
        DataError: a file that cannot be read, or a teacher of other labels.
        BusyError: see :func:`pretune.data.workshop.draft.write_rows`.
    """
    if not 0 <= least <= 1:
        raise SpecError(f'confidence "{least}" is not from 0 to 1')
    column = _answer_column(task)
    labels = list(task.labels or ())
    inputs = file_digests(sources)
    with teacher_of(task) as teacher:
        settings = {"teacher": teacher.name, "labels": labels, "to": column, "least": least}
        step = Step("label", _recipe(teacher), settings, inputs, sources)
        labelling = _Labelling(teacher, labels, column, least, step.stamp)

        def work(draft: Draft) -> None:
            unread = Unread()
            rows = read_tracked(sources, unread, task.data.encoding)
            number = 0
            for number, some in enumerate(batched(rows, _UNIT), 1):
                if number > draft.units:
                    labelling.answer(draft, some)
                    _end(draft)
                if progress is not None:
                    progress(len(some))
            if draft.units == number:
                for reason, count in unread.counts.items():
                    draft.count(f"left out: {reason}", count)
                draft.end_unit()

        return write_rows(step, {"rows": Path(out)}, work, overwrite=overwrite)


@dataclass(frozen=True)
class _Labelling:
    """Rows that a teacher answers: who, among which labels, into which column, how sure."""

    teacher: LocalTeacher
    labels: Sequence[str]
    column: str
    least: float
    stamp: str

    def answer(self, draft: Draft, rows: Sequence[Tracked]) -> None:
        """Write those of ``rows`` that have no answer with the teacher's; count all others."""
        found: list[Tracked] = []
        prompts: list[TokenExample] = []
        for one in rows:
            if plain(one.row.fields.get(self.column)).strip():
                draft.count("left out: has an answer")
                continue
            prompt = self.teacher.prompt(one.row)
            if isinstance(prompt, Rejected):
                draft.count(f"left out: {prompt.reason}")
                continue
            found.append(one)
            prompts.append(prompt)
        for one, said in zip(found, self._said(found, prompts), strict=True):
            self._write(draft, one, said)

    def _said(self, rows: Sequence[Tracked], prompts: Sequence[TokenExample]) -> list[Said]:
        if not prompts:
            return []
        if self.labels:
            return self.teacher.labelled(prompts, self.labels)
        return self.teacher.written([one.row for one in rows], prompts)

    def _write(self, draft: Draft, one: Tracked, said: Said) -> None:
        if not said.answer or said.confidence < self.least:
            draft.count(f"left out: {'not sure enough' if said.answer else 'no answer'}")
            return
        confidence = round(said.confidence, 6)
        fields = {**one.row.fields, self.column: said.answer, CONFIDENCE: confidence}
        draft.write("rows", made(fields, RowKind.SYNTHETIC, "label", self.stamp, one.origin))
        draft.count("answered")


def soften_rows(
    task: TaskSpec, *, overwrite: bool = False, progress: Callable[[int], None] | None = None
) -> Written:
    """Write what ``task``'s teacher thinks of its training rows to the file that ``teacher.soft``
    names; see :mod:`pretune.data.softlabels`.

    Raises:
        SpecError: no teacher, or no name for the file.
        DataError: a file that cannot be read, a teacher of other labels, one whose tokens are not
            the task's where answers are free, or scores that are not finite.
        BusyError: see :func:`pretune.data.workshop.draft.write_rows`.
    """
    if task.teacher is None or task.teacher.soft is None:
        raise SpecError(
            f'task "{task.name}" names no file for soft labels; add "soft: soft.jsonl" to its '
            "teacher"
        )
    labels = list(task.labels or ())
    paths = [source for source in task.data.train if isinstance(source, Path)]
    inputs = file_digests(paths)
    with teacher_of(task) as teacher:
        header = _header(task, teacher)
        asked = [task.template.model_dump(), task.labels, task.label_field, task.references_field]
        settings = {**header.line(), "teacher": teacher.name, "task": asked, "top": TOP}
        step = Step("soften", _recipe(teacher), settings, inputs, task.data.files)

        def work(draft: Draft) -> None:
            if draft.units == 0:
                draft.write("soft", header.line())
                draft.end_unit()
            for number, some in enumerate(batched(_training(task), _UNIT), 2):
                if number > draft.units:
                    for line in think(draft, some):
                        draft.write("soft", line.line())
                    _end(draft)
                if progress is not None:
                    progress(len(some))

        def think(draft: Draft, rows: Sequence[_Asked]) -> Iterator[SoftRow]:
            kept: list[Example] = []
            seen: list[TokenExample] = []
            for row, example in rows:
                found = teacher.prompt(row) if labels else teacher.example(row)
                if isinstance(found, Rejected):
                    draft.count(f"not asked: {found.reason}")
                    continue
                kept.append(example)
                seen.append(found)
            draft.count("softened", len(kept))
            if labels and seen:
                scores = teacher.label_scores(seen, labels)
                for example, one in zip(kept, scores, strict=True):
                    yield SoftRow(example.row_id, example.content, (one,))
            elif seen:
                masses = teacher.token_masses(seen, TOP)
                for example, (targets, ids, runs) in zip(kept, masses, strict=True):
                    yield SoftRow(example.row_id, example.content, runs, targets, ids)

        return write_rows(step, {"soft": task.teacher.soft}, work, overwrite=overwrite)


def _header(task: TaskSpec, teacher: LocalTeacher) -> SoftHeader:
    name = json.dumps(teacher.name)
    if task.labels is not None:
        return SoftHeader(SoftKind.LABELS, name, labels=tuple(task.labels))
    base, theirs = task.base, teacher.workbench.base.renderer.digest
    ours = load_renderer(base.name, allow_download=base.allow_download, revision=base.revision)
    if theirs != ours.digest:
        raise other_tokens("the teacher", theirs, ours.digest)
    return SoftHeader(SoftKind.TOKENS, name, tokenizer=theirs)


def _training(task: TaskSpec) -> Iterator[_Asked]:
    """The training rows of ``task``, those that prepare will screen out included."""
    for split, row, example in read_examples(task, Template(task)):
        if row is not None and not isinstance(example, Rejected) and split is Split.TRAIN:
            yield _Asked(row, example)


def _end(draft: Draft) -> None:
    """End the unit and put it on the disk: its answers cost more than a checkpoint."""
    draft.end_unit()
    draft.save()


def _recipe(teacher: LocalTeacher) -> str:
    name: Mapping[str, Any] = teacher.name
    return str(name["adapter"] or name["base"])[:12]


def _answer_column(task: TaskSpec) -> str:
    """The column that an answer goes to."""
    if task.labels is not None:
        return task.label_field
    pieces = parse(task.template.target or "")
    if len(pieces) != 1 or pieces[0].column is None:
        raise SpecError(
            f'task "{task.name}": a teacher\'s answer is one text, and the target '
            f'"{task.template.target or task.template.messages}" is not one column; write it like '
            '"{answer}"'
        )
    return pieces[0].column
