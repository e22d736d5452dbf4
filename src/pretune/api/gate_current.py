"""The version that answers today, and how another one compares with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pretune.adapters.files import load_adapter
from pretune.api.workbench import Workbench
from pretune.core.errors import DataError
from pretune.core.records import Prediction
from pretune.data.dataset import prepare
from pretune.evaluation.compare import Difference, compare
from pretune.gating.evidence import Compared, Measure, Subject
from pretune.registry import Registry
from pretune.registry.gates import subject_of
from pretune.spec.task import TaskSpec


@dataclass(frozen=True)
class Current:
    """The version that answers today."""

    digest: str
    spec: TaskSpec
    folder: Path
    subject: Subject


def current_of(task: TaskSpec, registry: Registry | None) -> Current | None:
    """The current version of ``task`` in ``registry``; ``None`` where none answers yet."""
    if registry is None or task.name not in registry.names():
        return None
    name = registry.task(task.name).current
    if name is None:
        return None
    version = registry.version(name)
    return Current(name, version.task_spec, registry.adapter_folder(version), subject_of(version))


def compare_with(
    current: Current,
    task: TaskSpec,
    split: str,
    answers: Sequence[Prediction],
    workbench: Workbench,
    *,
    same_adapter: bool,
) -> tuple[Compared, ...]:
    """Each metric of ``task``: ``answers`` against those of ``current`` under its own spec, on the
    rows of ``split`` that both can be asked. Where the ``same_adapter`` gave both and no row
    differs, no other row does.

    Raises:
        DataError: there is no such row, or what is right differs between the two.
    """
    spec = current.spec.model_copy(update={"data": task.data})
    if current.subject.base != workbench.base.digest:
        workbench = Workbench.open(spec.base)
    rows = getattr(prepare(spec, workbench.base.renderer), split)
    before = workbench.evaluate(spec, rows, load_adapter(current.folder)).predictions
    shared = {one.row_id for one in answers} & {one.row_id for one in before}
    if not shared:
        raise DataError("no row can be asked of both")
    return tuple(
        _compared(one, exact=same_adapter)
        for one in compare(
            [one for one in before if one.row_id in shared],
            [one for one in answers if one.row_id in shared],
            task.metrics,
        )
    )


def _compared(one: Difference, *, exact: bool) -> Compared:
    return Compared(
        metric=one.metric,
        current=one.first,
        new=one.second,
        delta=(Measure.from_interval if exact else Measure.of_difference)(one.delta),
        p=one.p,
        verdict=str(one.verdict),
    )
