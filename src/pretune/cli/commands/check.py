"""``pretune check``: read a task and its data, and say what would be trained on."""

from pathlib import Path
from typing import Annotated

import typer

from pretune.cli.output import AsJson, show


def check(
    task: Annotated[Path, typer.Argument(help="The task file.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the rejected rows and their reasons.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a task file and its data; nothing is trained."""
    from pretune.api import check as check_task
    from pretune.spec.task import load_task

    report = check_task(load_task(task), out)
    show(report.to_dict(), report.render(), as_json=as_json)
