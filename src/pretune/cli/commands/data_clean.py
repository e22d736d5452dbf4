"""``pretune data clean``: what is wrong with a task's rows, and the rows without it."""

from pathlib import Path
from typing import Annotated

import typer

from pretune.cli.output import AsJson, show
from pretune.cli.progress import passing


def clean(
    task: Annotated[Path, typer.Argument(help="The task file.")],
    out: Annotated[Path, typer.Option(help="Folder for train.jsonl, what was taken out, a page.")],
    remove: Annotated[
        list[str],
        typer.Option(help="Flag whose rows are taken out; give it again for another."),
    ] = ["duplicate", "leak"],  # noqa: B006 # typer copies it
    near: Annotated[float, typer.Option(help="How alike near-duplicates are, 0.3 to 1.")] = 0.8,
    seed: Annotated[int, typer.Option(help="How rows are put into folds.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the files.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find near-duplicates, leaks, doubted labels and outliers; write the rows without them."""
    from pretune.data.clean.clean import clean_rows
    from pretune.spec.cleaning import parse_clean
    from pretune.spec.task import load_task

    spec = load_task(task)
    settings = parse_clean({"remove": remove, "near": near, "seed": seed})
    with passing(f"clean {spec.name}") as progress:
        found = clean_rows(spec, out, settings, overwrite=overwrite, progress=progress)
    show(found.to_dict(), found.render(), as_json=as_json)
