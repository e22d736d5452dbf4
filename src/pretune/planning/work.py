"""From a task and its rows to the work whose cost is asked."""

from collections.abc import Sequence

from pretune.core.records import TokenExample, total_tokens
from pretune.data.batches import LengthBuckets
from pretune.engine.batch import TOKENS_PER_BATCH
from pretune.spec.task import TaskSpec
from pretune.training.estimate.estimate import Course
from pretune.training.estimate.work import Measuring, Work, lengths_of
from pretune.training.plan import Plan, batch_size


def work_of(
    task: TaskSpec,
    train: Sequence[TokenExample],
    validation: Sequence[TokenExample],
    options: Sequence[int],
    devices: int = 1,
) -> Work:
    """The longest step of a training, and the longest chunk that is measured at once.

    Args:
        options: tokens of each label's answer; none for a task that writes.
        devices: processes among which a step's rows are shared.
    """
    size = batch_size(task.method, task.train)
    longest = sorted(train, key=len, reverse=True)[:size]
    return Work(
        base=task.base,
        method=task.method,
        scope=task.scope,
        train=task.train,
        rows=tuple(map(lengths_of, longest)),
        measuring=_chunk(task, validation, tuple(options)),
        devices=devices,
    )


def _chunk(
    task: TaskSpec, rows: Sequence[TokenExample], options: tuple[int, ...]
) -> Measuring | None:
    longest = sorted(rows, key=lambda row: total_tokens(row.prompt), reverse=True)
    if not longest:
        return None
    new = 1 if options else task.generate.max_new_tokens
    extra = sum(options) + task.method.virtual_tokens + (0 if options else new)
    most = max(1, TOKENS_PER_BATCH // (total_tokens(longest[0].prompt) + extra))
    chunk = longest[: min(most, task.train.evaluation_rows)]
    return Measuring(rows=tuple(map(lengths_of, chunk)), options=options, new_tokens=new)


def course_of(
    task: TaskSpec, train: Sequence[TokenExample], validation: Sequence[TokenExample]
) -> Course:
    """How the whole training goes, if it is not stopped early."""
    size = batch_size(task.method, task.train)
    plan = Plan(train, task.train, size)
    lengths = [len(row) for row in train]
    batches = LengthBuckets(lengths, size, task.train.seed).batches(0)
    usual = sum(max(lengths[i] for i in rows) * len(rows) for rows in batches) / len(batches)
    longest = max(lengths) * min(size, len(lengths))
    return Course(
        steps=plan.steps,
        filling=usual / longest,
        measurings=sum(plan.measures(step) for step in range(1, plan.steps + 1)),
        measured_rows=min(len(validation), task.train.evaluation_rows),
    )
