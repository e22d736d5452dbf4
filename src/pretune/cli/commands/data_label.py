"""``pretune data label``: a teacher's answers to rows that have none."""

from pathlib import Path
from typing import Annotated

import typer

from pretune.cli.output import AsJson, quiet_libraries, show
from pretune.cli.progress import counting


def label(
    task: Annotated[Path, typer.Argument(help="The task file; it names the teacher.")],
    sources: Annotated[list[Path], typer.Argument(help="Files of rows without answers.")],
    out: Annotated[Path, typer.Option(help="File for the answered rows (.jsonl).")],
    least: Annotated[
        float, typer.Option(help="Leave out answers that the teacher is less sure of (0 to 1).")
    ] = 0.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let the task's teacher answer rows; they become synthetic rows with its confidence."""
    from pretune.api.labelling import label_rows
    from pretune.cli.tables import written_text
    from pretune.spec.task import load_task

    spec = load_task(task)
    quiet_libraries()
    with counting(f"label {out.name}") as progress:
        written = label_rows(
            spec, sources, out, least=least, overwrite=overwrite, progress=progress
        )
    show(written.to_dict(), written_text(written), as_json=as_json)
