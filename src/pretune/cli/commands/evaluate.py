"""``pretune eval``: measure an adapter, or the bare base, on a task's rows."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pretune.cli.output import AsJson, quiet_libraries, show
from pretune.cli.progress import counting

GOAL_MISSED = 10
"""Exit code when a goal of the task fails."""


class SplitOption(StrEnum):
    """Which rows to measure on."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


def evaluate(
    task: Annotated[Path, typer.Argument(help="The task file.")],
    adapter: Annotated[
        Path | None, typer.Option(help="An adapter's folder or a run's; none: the bare base.")
    ] = None,
    split: Annotated[SplitOption, typer.Option(help="Rows to measure on.")] = SplitOption.TEST,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the predictions and the report.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a task with 95 % intervals and check its goals; exit code 10 if a goal fails."""
    from pretune import api
    from pretune.cli.tables import evaluation_table
    from pretune.data.slices import slices_of
    from pretune.evaluation.evaluate import save_evaluation
    from pretune.evaluation.goals import Outcome
    from pretune.spec.task import load_task

    spec = load_task(task)
    quiet_libraries()
    slices_of(spec)  # goals about rows that are not there are refused before anything is measured
    with counting(f"{spec.name}, {split}") as progress:
        found = api.evaluate(spec, adapter, split=split.value, progress=progress)
    if out is not None:
        save_evaluation(found, out)
    goals = api.check_task_goals(spec, found)
    result = asdict(found)
    del result["predictions"]
    result["goals"] = [
        {"goal": str(one.goal), "outcome": one.outcome, "reason": one.reason} for one in goals
    ]
    show(result, evaluation_table(found, goals), as_json=as_json)
    if any(one.outcome is Outcome.FAIL for one in goals):
        raise typer.Exit(GOAL_MISSED)
