"""One task at a time: check, train, evaluate, generate."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pretune.adapters.adapter import Adapter
from pretune.adapters.files import load_adapter
from pretune.api.runs import adapter_folder
from pretune.api.workbench import Answer, Progress, Question, TrainedRun, Workbench
from pretune.bases import load_renderer
from pretune.core.errors import DataError
from pretune.core.protocols import EventSink
from pretune.data.dataset import prepare
from pretune.data.report import DataReport
from pretune.data.slices import slices_of
from pretune.evaluation.evaluate import Evaluation
from pretune.evaluation.goals import GoalCheck, check_goals
from pretune.evaluation.slices import goal_results
from pretune.spec.task import TaskSpec
from pretune.training.loop import Start

SplitName = Literal["train", "validation", "test"]


def check(task: TaskSpec, out: Path | None = None) -> DataReport:
    """The data report of ``task``; the rejected rows go to ``out/rejected.jsonl``.

    Raises:
        DataError: nothing to learn from.
    """
    base = task.base
    renderer = load_renderer(base.name, allow_download=base.allow_download, revision=base.revision)
    return prepare(task, renderer, out).report


def train(
    task: TaskSpec,
    folder: Path | str,
    *,
    sinks: Sequence[EventSink] = (),
    start: Start = Start.NEW,
) -> TrainedRun:
    """Tune an adapter for ``task``; see :meth:`pretune.api.workbench.Workbench.train`."""
    return Workbench.open(task.base).train(task, Path(folder), sinks=sinks, start=start)


def evaluate(
    task: TaskSpec,
    adapter: Adapter | Path | str | None = None,
    *,
    split: SplitName = "test",
    progress: Progress | None = None,
) -> Evaluation:
    """Measure ``adapter`` (or the bare base) on a split of ``task``.

    ``adapter`` may be an adapter, its folder, or a run's folder.

    Raises:
        DataError: the split has no rows.
        AdapterError: the adapter is damaged or belongs to another base.
    """
    workbench = Workbench.open(task.base)
    examples = getattr(prepare(task, workbench.base.renderer), split)
    if not examples:
        raise DataError(
            f'task "{task.name}" has no {split} rows; name data.{split} or set data.{split}_share'
        )
    return workbench.evaluate(task, examples, _loaded(adapter), progress)


def check_task_goals(task: TaskSpec, evaluation: Evaluation) -> tuple[GoalCheck, ...]:
    """The goals of ``task`` against ``evaluation``, those about some rows included.

    Raises:
        SpecError: a goal is about rows that the data does not have.
    """
    return check_goals(task.goals, goal_results(evaluation, task.goals, slices_of(task)))


def generate(
    task: TaskSpec, rows: Sequence[Mapping[str, Any]], adapter: Adapter | Path | str | None = None
) -> list[Answer]:
    """Answer ``rows`` (columns by name) in one batch with ``adapter`` or the bare base.

    Raises:
        DataError: a row lacks a column, or is too long for the base.
    """
    workbench = Workbench.open(task.base)
    name = None if adapter is None else "asked"
    with workbench.mounted(asked=_loaded(adapter)):
        return workbench.answer([Question(task, row, name) for row in rows])


def _loaded(adapter: Adapter | Path | str | None) -> Adapter | None:
    if adapter is None or isinstance(adapter, Adapter):
        return adapter
    return load_adapter(adapter_folder(Path(adapter)))
