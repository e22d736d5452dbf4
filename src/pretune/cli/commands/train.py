"""``pretune train``: tune an adapter for a task."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group

from pretune.cli.output import INTERRUPTED, AsJson, errors, quiet_libraries, show
from pretune.cli.progress import Findings
from pretune.core.protocols import EventSink


def train(
    task: Annotated[Path, typer.Argument(help="The task file.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; default: runs/<task>.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a run stopped.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a finished run in the folder.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check the data, tune an adapter, keep the best, measure it on the test rows."""
    from pretune.api import Workbench, check_task_goals
    from pretune.cli.tables import evaluation_table
    from pretune.core.promise import Promise
    from pretune.data.slices import slices_of
    from pretune.evaluation.evaluate import save_evaluation
    from pretune.spec.task import load_task
    from pretune.training.history import StopReason
    from pretune.training.loop import Start
    from pretune.training.processes import is_main
    from pretune.training.sinks.progress import ProgressBar

    spec = load_task(task)
    slices_of(spec)  # goals about rows that are not there are refused before anything is trained
    folder = out or Path("runs") / spec.name
    quiet_libraries()
    workbench = Workbench.open(spec.base)
    start = Start.RESUME if resume else Start.OVERWRITE if overwrite else Start.NEW
    main = is_main(workbench.base.device)
    sinks: list[EventSink] = [Findings(), ProgressBar(errors, spec.name)] if main else []
    run = workbench.train(spec, folder, sinks=sinks, start=start)
    if not main:
        return
    if run.result.reason is StopReason.INTERRUPTED:
        errors.print(f'interrupted at step {run.result.steps}; go on with "--resume"')
        raise typer.Exit(INTERRUPTED)
    record = run.record()
    parts: list[Any] = [f'adapter: "{run.adapter_folder}"']
    if privacy := Promise.of(record):
        parts.append(f"privacy: {privacy}")
    if run.data.test:
        found = workbench.evaluate(spec, run.data.test, run.adapter)
        save_evaluation(found, run.folder.evaluation)
        record["test"] = {name: one.value for name, one in found.metrics.items()}
        parts.insert(0, evaluation_table(found, check_task_goals(spec, found)))
    show(record, Group(*parts), as_json=as_json)
