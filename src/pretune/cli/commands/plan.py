"""``pretune plan``: goals, memory, time and advice, before anything is trained."""

import math
from pathlib import Path
from typing import Annotated

import typer

from pretune.cli.output import AsJson, quiet_libraries, show
from pretune.cli.progress import counting

RULED_OUT = 10
"""Exit code where a goal cannot be met or the training does not fit."""

GB = 1e9


def plan(
    task: Annotated[Path, typer.Argument(help="The task file.")],
    no_base: Annotated[
        bool, typer.Option("--no-base", help="Do not measure what the bare base reaches.")
    ] = False,
    no_dry_run: Annotated[
        bool, typer.Option("--no-dry-run", help="Reckon only; train no two steps.")
    ] = False,
    memory: Annotated[
        float | None, typer.Option(help="GB to plan with; default: what is free here.", min=0.001)
    ] = None,
    devices: Annotated[int, typer.Option(help="Processes that share each step.", min=1)] = 1,
    tasks: Annotated[int, typer.Option(help="Tasks to be served from this base.", min=1)] = 1,
    unreachable: Annotated[
        bool, typer.Option("--unreachable", help="The wanted model's weights cannot be read.")
    ] = False,
    runs: Annotated[
        Path | None, typer.Option(help="Folder of past runs, as evidence for advice.")
    ] = None,
    margin: Annotated[
        float, typer.Option(help="Distance from a threshold to be decided.", min=0.001, max=0.5)
    ] = 0.05,
    why: Annotated[bool, typer.Option("--why", help="Show the evidence behind advice.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what a task will take and whether its goals can be decided; exit code 10 if one cannot.

    A dry run trains two steps on rows of the longest lengths in a process of its own; what it
    finds is kept and sharpens later estimates. Nothing of the task is changed.
    """
    from pretune.api.plans import PlanOptions
    from pretune.api.plans import plan as plan_task
    from pretune.cli.plan_text import plan_text
    from pretune.core.errors import SpecError
    from pretune.spec.task import load_task

    if memory is not None and not math.isfinite(memory):
        raise SpecError(
            f'"--memory {memory}" is no size; give a number of GB, or leave it out to plan with '
            "what is free here"
        )
    spec = load_task(task)
    quiet_libraries()
    options = PlanOptions(
        measure_base=not no_base,
        dry_run=not no_dry_run,
        memory=None if memory is None else round(memory * GB),
        devices=devices,
        tasks=tasks,
        reachable=not unreachable,
        runs=runs,
        margin=margin,
    )
    with counting(f"{spec.name}, the bare base") as progress:
        found = plan_task(spec, options, progress=progress)
    show(found.to_dict(), plan_text(found, why=why), as_json=as_json)
    if not found.possible:
        raise typer.Exit(RULED_OUT)
