"""What a report is made of."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pretune.core.errors import StorageError
from pretune.core.promise import Promise
from pretune.core.records import Prediction
from pretune.evaluation.goals import GoalCheck
from pretune.evaluation.intervals import Interval
from pretune.evaluation.tables import Confusion, LabelRow


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run of one task. ``run`` names its kind (base, lora_all, prad); the first of ``metrics``
    is the task's main one; ``privacy`` is what its training promises of any one row. ``None`` and
    empty mean not applicable: an untuned base has no training.
    """

    task: str
    run: str
    metrics: Mapping[str, Interval]
    trainable_parameters: int | None = None
    adapter_bytes: int | None = None
    train_seconds: float | None = None
    peak_memory_bytes: int | None = None
    privacy: Promise | None = None
    loss: tuple[tuple[int, float], ...] = ()
    """Training loss as (step, loss)."""
    labels: tuple[LabelRow, ...] = ()
    confusions: tuple[Confusion, ...] = ()

    @property
    def main_metric(self) -> str:
        """The metric that the task is judged by."""
        return next(iter(self.metrics))


@dataclass(frozen=True, slots=True)
class Report:
    """Runs side by side, in the order given; ``goals`` and ``samples`` are by task, and speak
    of the task's last run.

    Samples hold text of the user's data; they are shown only where rendering is told to.
    """

    title: str
    runs: Sequence[RunSummary]
    subtitle: str = ""
    goals: Mapping[str, Sequence[GoalCheck]] = field(default_factory=dict)
    samples: Mapping[str, Sequence[Prediction]] = field(default_factory=dict)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Task names in the order of their first run."""
        return tuple(dict.fromkeys(run.task for run in self.runs))

    @property
    def run_names(self) -> tuple[str, ...]:
        """Kinds of run in the order of their first appearance."""
        return tuple(dict.fromkeys(run.run for run in self.runs))

    def of_task(self, task: str) -> tuple[RunSummary, ...]:
        """The runs of ``task``."""
        return tuple(run for run in self.runs if run.task == task)


def read_loss(path: Path) -> tuple[tuple[int, float], ...]:
    """(step, loss) of each line of a JSONL training log that has a ``step`` and a finite ``loss``.

    The two stand at the top of a line, or the loss under ``values`` as in an event.

    Raises:
        StorageError: the log cannot be read, or a line is no JSON object.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f'cannot read the log "{path}"; name a JSONL training log') from error
    points = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            loss = {**record, **record.get("values", {})}.get("loss")
        except (ValueError, TypeError, AttributeError) as error:
            raise StorageError(
                f'"{path}:{number}" is no JSON object; name a JSONL training log'
            ) from error
        if loss is not None and "step" in record and math.isfinite(loss):
            points.append((int(record["step"]), float(loss)))
    return tuple(points)
