"""Augmentation: variants of a task's training rows, each naming the row it was made from."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pretune.core.errors import SpecError
from pretune.core.origin import RowKind, made
from pretune.data.augment import prompts
from pretune.data.augment.backtranslation import BackTranslation
from pretune.data.augment.entities import Entity, Names
from pretune.data.augment.labelprobe import doubts_of
from pretune.data.augment.operator import Operator
from pretune.data.augment.paraphrase import Paraphrase
from pretune.data.augment.rewordings import Colloquial, Synonym, Typo
from pretune.data.augment.rewriter import Asking, Rewriter
from pretune.data.augment.substitution import Substitution
from pretune.data.augment.variants import Variants, Varier
from pretune.data.augment.varied import Columns
from pretune.data.dataset import read_examples
from pretune.data.inorder import in_order
from pretune.data.privacy.masking import Mask
from pretune.data.privacy.rows import NotText, SpansLost
from pretune.data.rejected import Rejected
from pretune.data.splits import Split
from pretune.data.teacher.asker import Asker
from pretune.data.teacher.bill import Standing
from pretune.data.teacher.ledger import Spent
from pretune.data.template import Template
from pretune.data.workshop.draft import Draft, write_rows
from pretune.data.workshop.step import Step, Written
from pretune.data.workshop.tracked import Tracked, file_digests, tracked
from pretune.spec.augmenting import AugmentSpec
from pretune.spec.task import TaskSpec

OPERATORS: tuple[type[Operator], ...] = (
    Substitution,
    Synonym,
    Typo,
    Colloquial,
    BackTranslation,
    Paraphrase,
)
"""All operators."""

_NOT_VARIED = "not varied: a variant itself, or a broken origin"


@dataclass(frozen=True)
class Asked:
    """Who answers operators that ask, by which ``model``, and what it is shown."""

    asker: Asker
    model: str
    mask: Mask | None = None


def operators_of(
    task: TaskSpec, spec: AugmentSpec, asker: Asker | None = None
) -> dict[str, Operator]:
    """The operators by name, as ``spec`` wants them for ``task``; those that ask need an
    ``asker``."""
    kinds = [Entity(name) for name in spec.entities or Entity]
    if spec.entities is None and task.labels is not None:
        kinds = [kind for kind in kinds if kind not in (Entity.AMOUNT, Entity.DATE)]
    found: list[Operator] = [
        Substitution(kinds, spec.names),
        Synonym(),
        Typo(),
        Colloquial(),
    ]
    if asker is not None and spec.rewriting is not None:
        asking = Asking(spec.rewriting, asker, Names.read(spec.names))
        found += [kind(asking) for kind in OPERATORS if issubclass(kind, Rewriter)]
    return {operator.name: operator for operator in found}


def augment_rows(
    task: TaskSpec,
    out: Path,
    spec: AugmentSpec,
    *,
    asked: Asked | None = None,
    overwrite: bool = False,
    progress: Callable[[Standing], None] | None = None,
) -> Written:
    """Write variants of ``task``'s training rows to ``out``; the rows themselves are not in it.

    Labels never change; free answers and annotations (lists of ``{start, end, text}``) move along.
    Validation and test rows, and rows that are variants themselves, are not varied. The same
    arguments, and answers, give the same bytes, and few rows are in memory at a time.

    With operators that ask, ``<out>.rejected.jsonl`` beside ``out`` keeps what was refused.

    Raises:
        SpecError: a chat task, whose turns no operator knows how to vary.
        DataError: a file that cannot be read.
        BusyError: see :func:`pretune.data.workshop.draft.write_rows`.
        BudgetError, TeacherError: of operators that ask; the same call goes on.
    """
    if task.template.messages is not None:
        raise SpecError(
            f'task "{task.name}" has chat messages, which no operator varies; '
            "write its template as segments"
        )
    step = _step(task, spec, asked)
    files = {"rows": out}
    if asked is not None:
        files["rejected"] = out.with_name(f"{out.stem}.rejected.jsonl")
    work = _Work(task, spec, asked, step, progress)
    return write_rows(step, files, work.run, overwrite=overwrite)


def _step(task: TaskSpec, spec: AugmentSpec, asked: Asked | None) -> Step:
    """What decides the variants: neither where the endpoint is, nor how fast or dear it is."""
    settings = {
        **spec.model_dump(mode="json", exclude={"names", "rewriting"}),
        "task": task.digest(),
    }
    if asked is not None and spec.rewriting is not None:
        how = spec.rewriting.teacher or spec.rewriting.translators
        assert how is not None
        settings["rewriting"] = {
            **spec.rewriting.model_dump(
                mode="json", include={"pivots", "language", "tries", "checks"}
            ),
            "model": asked.model,
            "temperature": how.temperature,
            "max_tokens": how.max_tokens,
            "prompts": prompts.digest(),
            "mask": asked.mask and asked.mask.name,
        }
    paths = [source for source in task.data.train if isinstance(source, Path)]
    names = [] if spec.names is None else [spec.names]
    inputs = file_digests([*paths, *names])
    if asked is not None and asked.mask is not None:
        inputs = asked.mask.digests(inputs)
    return Step("augment", "+".join(spec.operators), settings, inputs, [*task.data.files, *names])


class _Work:
    """Fills the draft of variants: a row that was read is a unit."""

    def __init__(
        self,
        task: TaskSpec,
        spec: AugmentSpec,
        asked: Asked | None,
        step: Step,
        progress: Callable[[Standing], None] | None,
    ) -> None:
        self._task, self._spec, self._asked, self._step = task, spec, asked, step
        self._template = Template(task)
        self._progress = progress

    def run(self, draft: Draft) -> None:
        """Vary every row that ``draft`` does not hold yet."""
        asker = self._asked.asker if self._asked else None
        operators = operators_of(self._task, self._spec, asker)
        doubts = None
        if self._asked is not None and self._spec.rewriting is not None:
            doubts = doubts_of(self._task, self._template, self._spec.rewriting.checks.label)
        varier = Varier(self._spec, operators, Columns.of(self._task), doubts)

        def vary(given: Tracked | str | None) -> Variants | str | None:
            return varier.vary(given) if isinstance(given, Tracked) else given

        rows = islice(self._rows(), draft.units, None)
        if self._asked is None:
            for given in rows:
                self._take(vary(given), draft)
            return
        with contextlib.closing(in_order(vary, rows, self._threads())) as results:
            try:
                for found in results:
                    self._take(found, draft)
            finally:
                self._asked.asker.stop()  # before those who wait for a turn are waited for

    def _threads(self) -> int:
        teacher = self._spec.rewriting and self._spec.rewriting.teacher
        return teacher.endpoint.concurrency if teacher and teacher.endpoint else 1

    def _rows(self) -> Iterator[Tracked | str | None]:
        """What there is to vary, masked where it is to be; ``None`` for a row of another split, a
        text for one that is left out with that reason."""
        mask = self._asked.mask if self._asked else None
        for split, row, example in read_examples(self._task, self._template):
            if row is None or isinstance(example, Rejected) or split is not Split.TRAIN:
                yield None
                continue
            found = tracked(row)
            if isinstance(found, Rejected) or found.origin.kind is RowKind.AUGMENTED:
                yield _NOT_VARIED
            elif mask is None:
                yield found
            else:
                try:
                    masked = mask.row(found)
                except SpansLost as lost:
                    yield f'not varied: spans in "{lost.column}" fit no text'
                    continue
                except NotText as error:
                    yield f'not varied: bytes in "{error.column}" are no UTF-8 text'
                    continue
                mask.keep()
                yield masked

    def _take(self, found: Variants | str | None, draft: Draft) -> None:
        if isinstance(found, str):
            draft.count(found)
        elif found is not None:
            self._write(found, draft)
        draft.end_unit()
        if self._progress is not None:
            spent = self._asked.asker.spent if self._asked else Spent()
            rows = draft.rows
            self._progress(Standing(draft.units, None, rows["rows"], rows["rejected"], spent))

    def _write(self, found: Variants, draft: Draft) -> None:
        if found.unasked is not None:
            assert self._spec.rewriting is not None
            if self._spec.rewriting.budget.when_spent == "stop":
                raise found.unasked
            draft.count("rows that the budget did not reach, or not wholly")
        for what, number in found.counts.items():
            draft.count(what, number)
        stamp = self._step.stamp.rpartition("@")[2]
        for named, fields in found.made:
            recipe = f"{named}@{stamp}"
            origin = found.of.origin
            draft.write("rows", made(fields, RowKind.AUGMENTED, "augment", recipe, origin))
        for named, refused in found.refused:
            line = {
                "reason": refused.fault,
                "operator": named,
                "row": found.of.row.id,
                "parent": found.of.origin.id,
                "text": refused.text,
            }
            draft.write("rejected", line)
