"""``pretune demo``: the main job, offline, in minutes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from pretune.cli.output import AsJson, console, errors, quiet_libraries
from pretune.core.errors import PretuneError

if TYPE_CHECKING:
    from pretune.api.served import Reply
    from pretune.cli.demo import Demo

_ASKED_WIDTH = 60
"""Characters of a question that the demo's table shows."""


def demo(
    out: Annotated[Path, typer.Option(help="Folder for adapters and the report.")] = Path(
        "runs/demo"
    ),
    as_json: AsJson = False,
) -> None:
    """Tune six finance tasks on the embedded base, measure them, answer and serve them."""
    from pretune.cli.demo import Demo
    from pretune.cli.output import show
    from pretune.training.sinks.progress import ProgressBar

    quiet_libraries()
    work = Demo(out, sinks_of=lambda title: [ProgressBar(errors, title)])
    base = work.workbench.base
    errors.print(
        f"base: {base.name}, {base.parameters / 1e6:.1f} M parameters, {base.precision}, frozen"
    )
    for number, spec in enumerate(work.specs, 1):
        errors.rule(f"task {number} of {len(work.specs)}: {spec.name}", align="left")
        work.tune(spec, lambda task, run, found: errors.print(f"{task}: {run:9} {found}"))
    together = work.answer_together()
    errors.rule(f"serving them: pretune serve {out}/*/prad", align="left")
    served = _served_or_not(work)
    page = work.write_report()
    if as_json:
        show(work.record(), "", as_json=True)
        return
    console.print(_results(work.record()))
    console.print(_answers(together))
    if served:
        console.print(_served(served))
    console.print(f'report: "{page}"; all in {work.record()["wall_s"]:.0f} s')


def _served_or_not(work: "Demo") -> "list[Reply]":
    """What was tuned and measured is not lost because a server is not installed."""
    try:
        return work.serve_together()
    except PretuneError as error:
        errors.print(f"not served: {error}")
        return []


def _results(record: dict) -> Table:  # type: ignore[type-arg]
    table = Table(title="Test rows, main metric with 95 % interval", title_justify="left")
    for name in ("task", "metric", "base", "LoRA, all tokens", "PrAd, prompt only", "adapter KB"):
        table.add_column(name, justify="right" if name.endswith("KB") else "left")
    for name, one in record["tasks"].items():
        cells = [
            f"{one[run]['value']:.3f}  ({one[run]['low']:.3f} to {one[run]['high']:.3f})"
            for run in ("base", "lora_all", "prad")
        ]
        table.add_row(name, one["metric"], *cells, f"{one['adapter_bytes'] / 1024:,.0f}")
    return table


def _answers(together: list) -> Table:  # type: ignore[type-arg]
    table = Table(title="One question of each task, six adapters, one batch", title_justify="left")
    for name in ("task", "asked", "answered"):
        table.add_column(name)
    for spec, row, answer in together:
        asked = str(row.get("question") or row.get("text"))
        shown = asked if len(asked) <= _ASKED_WIDTH else asked[: _ASKED_WIDTH - 1] + "…"
        table.add_row(spec.name, Text(shown), Text(answer.text))
    return table


def _served(replies: "list[Reply]") -> Table:
    table = Table(title="The same six at once over OpenAI's API", title_justify="left")
    for name in ("model", "content"):
        table.add_column(name)
    table.add_column("ms", justify="right")
    for reply in replies:
        table.add_row(reply.task, Text(reply.text), f"{reply.seconds * 1e3:,.0f}")
    return table
