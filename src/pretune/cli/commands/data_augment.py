"""``pretune data augment``: variants of a task's training rows."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.text import Text

from pretune.cli.output import AsJson, errors, show, telling_new_key
from pretune.cli.progress import asking

Entities = Annotated[
    list[str],
    typer.Option(
        help="Type that entity changes; default: all, with labels all but amount and date."
    ),
]
Rewriting = Annotated[
    Path | None, typer.Option(help="The rewriting file: whom back_translation and paraphrase ask.")
]
Names = Annotated[
    Path | None, typer.Option(help="Word file with names of your own, as [en.company].")
]


def augment(
    task: Annotated[Path, typer.Argument(help="The task file.")],
    out: Annotated[Path, typer.Option(help="File for the variants (.jsonl).")],
    operator: Annotated[
        list[str],
        typer.Option(
            "--with",
            help="entity, synonym, typo, colloquial, back_translation, paraphrase, or some at "
            "once: entity+typo.",
        ),
    ],
    per_row: Annotated[int, typer.Option(help="Variants of each row.")] = 1,
    entity: Entities = [],  # noqa: B006 # typer copies it
    config: Rewriting = None,
    names: Names = None,
    seed: Annotated[int, typer.Option(help="Another seed makes other variants.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Vary training rows; labels stay, answers and annotations move along."""
    from pretune.spec.augmenting import parse_augment, uses
    from pretune.spec.rewriting import load_rewriting
    from pretune.spec.task import load_task

    spec = load_task(task)
    settings = parse_augment(
        {
            "operators": operator,
            "per_row": per_row,
            "entities": entity or None,
            "names": names,
            "seed": seed,
            "rewriting": None if config is None else load_rewriting(config),
        }
    )
    # These take seconds to import, and what is wrong with the files was said before.
    from pretune.api.augment import augment_rows
    from pretune.cli.tables import bill_lines, written_text
    from pretune.data.augment.augment import OPERATORS
    from pretune.data.teacher.bill import currency_of

    for one in OPERATORS:
        if uses(settings.operators, one.name):
            errors.print(f"{one.name} is not for {'; nor for '.join(one.not_for)}")
    asks = settings.rewriting
    key = asks.mask.key if asks and asks.mask else None
    bar = asking(
        f"augment {spec.name}", currency_of(asks.teacher if asks else None), "rows", "variants"
    )
    with telling_new_key(key), bar as progress:
        done = augment_rows(spec, out, settings, overwrite=overwrite, progress=progress)
    text = [written_text(done.written)]
    if done.bill:
        text += [Text(f"  {what}: {much}") for what, much in bill_lines(done.bill)]
    show(done.to_dict(), Group(*text), as_json=as_json)
