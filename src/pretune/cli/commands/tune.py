"""``pretune tune``: search for a task's best configuration within a budget."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pretune.cli.output import INTERRUPTED, AsJson, console, errors, quiet_libraries, show

if TYPE_CHECKING:
    from pretune.search.report import Outcome


def tune(
    task: Annotated[Path, typer.Argument(help="The task file.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the search; default: tunings/<task>.")
    ] = None,
    search: Annotated[
        Path | None, typer.Option(help="The search file: what may be chosen; default: the usual.")
    ] = None,
    trials: Annotated[int | None, typer.Option(help="Most trainings.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Most wall time, earlier parts counted in.")
    ] = None,
    registry: Annotated[
        Path | None, typer.Option(help="Registry whose similar tasks are begun with.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(help="Trainings at a time; default: one a GPU.", min=1)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew.")] = False,
    as_json: AsJson = False,
) -> None:
    """Try configurations, stop losers early, keep the best as a task file, say what mattered.

    The same command goes on after a kill or with a larger budget; nothing is trained twice.
    """
    from pretune.api.tuning import tune as tune_task
    from pretune.cli.board import Board
    from pretune.spec.search import SearchSpec, load_search, parse_search
    from pretune.spec.task import load_task

    spec = load_task(task)
    said = SearchSpec() if search is None else load_search(search)
    given = {"trials": trials, "minutes": minutes}
    budget = {name: value for name, value in given.items() if value is not None}
    settings = parse_search(said.model_dump(exclude_unset=True) | budget)
    quiet_libraries()
    folder = out or Path("tunings") / spec.name
    try:
        with Board(errors) as board:
            found = tune_task(
                spec,
                folder,
                settings,
                registry=registry,
                jobs=jobs,
                overwrite=overwrite,
                sinks=[board],
            )
    except KeyboardInterrupt:
        errors.print("interrupted; the same command goes on, and trains nothing twice")
        raise typer.Exit(INTERRUPTED) from None
    show(found.to_dict(), _text(found), as_json=as_json)
    if not as_json:
        report = found.spec.with_name("report.html")
        for what, path in (("task file", found.spec), ("its run", found.run), ("report", report)):
            # A path that is broken into lines cannot be copied.
            console.print(f'{what}: "{path}"', soft_wrap=True)


def _text(found: "Outcome") -> RenderableType:
    from pretune.search.report import best_of_each, gain_text

    best = found.best
    lines = [
        Text.assemble((f"trial {best.number}: {best.says}", "bold"), f"  ({best.why})"),
        Text(f"  {found.metric} {best.value:.3f} on validation rows"),
    ]
    if found.test is not None:
        lines.append(Text(f"  {found.metric} {found.test} on test rows"))
    for rows, gain in (("validation", found.gain), ("test", found.test_gain)):
        if gain is not None:
            lines.append(Text(f"  against the task as it stands, {rows} rows: {gain_text(gain)}"))
    table = Table(title="What mattered", title_justify="left")
    for name in ("knob", "best", "importance", "against the best of another value"):
        table.add_column(name)
    for knob in found.knobs:
        weight = "cannot tell" if knob.importance is None else f"{knob.importance:.0%}"
        table.add_row(knob.name, knob.best or "", weight, best_of_each(knob))
    notes = [Text(f"- {note}") for note in found.notes()]
    return Group(*lines, *([table] if found.knobs else []), *notes)
