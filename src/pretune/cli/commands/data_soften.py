"""``pretune data soften``: what a teacher thinks of a task's training rows."""

from pathlib import Path
from typing import Annotated

import typer

from pretune.cli.output import AsJson, quiet_libraries, show
from pretune.cli.progress import counting


def soften(
    task: Annotated[
        Path, typer.Argument(help="The task file; it names the teacher and the file to write.")
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the teacher's probabilities for the training rows; training then learns them."""
    from pretune.api.labelling import soften_rows
    from pretune.cli.tables import written_text
    from pretune.spec.task import load_task

    spec = load_task(task)
    quiet_libraries()
    with counting(f"soften {spec.name}") as progress:
        written = soften_rows(spec, overwrite=overwrite, progress=progress)
    show(written.to_dict(), written_text(written), as_json=as_json)
