"""``pretune data probe``: what made rows do to a task, trained with them and without."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pretune.cli.commands.data_augment import Entities, Names, Rewriting
from pretune.cli.output import INTERRUPTED, AsJson, errors, quiet_libraries, show

if TYPE_CHECKING:
    from pretune.api.probe import Probed

Operators = Annotated[
    list[str],
    typer.Option(
        "--with",
        help="entity, synonym, typo, colloquial, back_translation, paraphrase, or some at "
        "once: entity+typo; none: the first four, each alone, and all at once.",
    ),
]
Files = Annotated[
    list[Path],
    typer.Option(help="File of made rows, added to the seed rows; give it again for another."),
]
Rows = Annotated[
    list[int],
    typer.Option(help="Number of seed rows; none: 100, 500, 2000, as far as there are."),
]
Steps = Annotated[
    int | None,
    typer.Option(help="Steps of every training; none: the epochs over all rows and variants."),
]


def probe(
    task: Annotated[Path, typer.Argument(help="The task file.")],
    out: Annotated[Path, typer.Option(help="Folder for rows, runs and the report.")],
    operator: Operators = [],  # noqa: B006 # typer copies it
    add: Files = [],  # noqa: B006
    rows: Rows = [],  # noqa: B006
    seeds: Annotated[int, typer.Option(help="Repeats with other seed rows and weights.")] = 1,
    steps: Steps = None,
    held_rows: Annotated[
        int | None, typer.Option(help="Most test rows to measure on; none: all.")
    ] = None,
    per_row: Annotated[int, typer.Option(help="Variants of each row.")] = 1,
    entity: Entities = [],  # noqa: B006
    names: Names = None,
    config: Rewriting = None,
    seed: Annotated[int, typer.Option(help="The first seed.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train with and without variants or made rows, the same steps, and compare on the same
    held-out rows."""
    from pretune.api.probe import probe_augmentation
    from pretune.cli.progress import Probing
    from pretune.spec.probing import parse_probe
    from pretune.spec.rewriting import load_rewriting
    from pretune.spec.task import load_task

    spec = load_task(task)
    settings = parse_probe(
        {
            **({"operators": operator} if operator else {}),
            "add": add,
            "rows": rows or None,
            "seeds": seeds,
            "seed": seed,
            "steps": steps,
            "held_rows": held_rows,
            "per_row": per_row,
            "entities": entity or None,
            "names": names,
            "rewriting": None if config is None else load_rewriting(config),
        }
    )
    quiet_libraries()
    try:
        with Probing() as progress:
            found = probe_augmentation(spec, out, settings, overwrite=overwrite, sinks=[progress])
    except KeyboardInterrupt:
        errors.print("interrupted; the same command goes on, and trains nothing twice")
        raise typer.Exit(INTERRUPTED) from None
    show(found.to_dict(), _table(found), as_json=as_json)
    errors.print(f'report: "{found.report}"', soft_wrap=True)


def _table(found: "Probed") -> RenderableType:
    """The effects, and what they mean."""
    from pretune.evaluation.effects import COLUMNS, Impact, effect_cells

    colours = {Impact.GAINS: "green", Impact.LOSES: "red"}
    table = Table(title=f"What made rows do to {found.task}", title_justify="left")
    for name, right in COLUMNS.items():
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for effect in found.effects:
        table.add_row(*effect_cells(effect), style=colours.get(effect.impact))
    return Group(table, *map(Text, found.notes()))
