"""``pretune data augment``: variants of a task's training rows."""

from pathlib import Path
from typing import Annotated

import typer

from pretune.cli.output import AsJson, errors, show
from pretune.cli.progress import counting


def augment(
    task: Annotated[Path, typer.Argument(help="The task file.")],
    out: Annotated[Path, typer.Option(help="File for the variants (.jsonl).")],
    operator: Annotated[
        list[str],
        typer.Option(
            "--with", help="entity, synonym, typo, colloquial, or some at once: entity+typo."
        ),
    ],
    per_row: Annotated[int, typer.Option(help="Variants of each row.")] = 1,
    entity: Annotated[
        list[str],
        typer.Option(
            help="Type that entity changes; default: all, with labels all but amount and date."
        ),
    ] = [],  # noqa: B006 # typer copies it
    names: Annotated[
        Path | None, typer.Option(help="Word file with names of your own, as [en.company].")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed makes other variants.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Vary training rows; labels stay, answers and annotations move along."""
    from pretune.cli.tables import written_text
    from pretune.data.augment.augment import augment_rows, operators_of
    from pretune.spec.augmenting import parse_augment
    from pretune.spec.task import load_task

    spec = load_task(task)
    settings = parse_augment(
        {
            "operators": operator,
            "per_row": per_row,
            "entities": entity or None,
            "names": names,
            "seed": seed,
        }
    )
    for name, operator_used in operators_of(spec, settings).items():
        if any(name in chain.split("+") for chain in settings.operators):
            errors.print(f"{name} is not for {'; nor for '.join(operator_used.not_for)}")
    with counting(f"augment {spec.name}") as progress:
        written = augment_rows(spec, out, settings, overwrite=overwrite, progress=progress)
    show(written.to_dict(), written_text(written), as_json=as_json)
