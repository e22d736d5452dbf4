"""What studies share: a part of a table is trained once and kept, so a study can be stopped and
started at will."""

import json
from pathlib import Path
from typing import Any

from pretune.api import Workbench
from pretune.api.workbench import TrainedRun
from pretune.core.files import write_atomic
from pretune.data.dataset import TaskData
from pretune.evaluation.intervals import Interval
from pretune.spec.task import TaskSpec
from pretune.training.history import StopReason
from pretune.training.loop import Start


def slug(name: str) -> str:
    """``name`` as a folder's."""
    return "".join(c if c.isalnum() else "-" for c in name)


def kept(home: Path) -> dict[str, Any] | None:
    """What came of the part in the folder ``home``; ``None`` while it is not finished."""
    path = home / "result.json"
    record: dict[str, Any] | None = json.loads(path.read_text("utf-8")) if path.exists() else None
    return record


def keep(home: Path, record: dict[str, Any]) -> None:
    """Say what came of it: from then on it is finished."""
    write_atomic(home / "result.json", json.dumps(record, indent=1) + "\n")


def trained(workbench: Workbench, task: TaskSpec, folder: Path, data: TaskData) -> TrainedRun:
    """Train ``task``, or go on with it; Ctrl-C ends the study."""
    run = workbench.train(task, folder, data=data, start=Start.RESUME)
    if run.result.reason is StopReason.INTERRUPTED:
        raise SystemExit(f'"{folder}": interrupted; the same command goes on with it')
    return run


def ends(measured: Interval) -> list[float]:
    """Value and 95 % interval, as a record holds them."""
    return [measured.value, measured.low, measured.high]
