"""``pretune generate``: answer rows with a task."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from pretune.cli.output import AsJson, quiet_libraries, show


def generate(
    task: Annotated[Path, typer.Argument(help="The task file.")],
    row: Annotated[
        list[str] | None,
        typer.Option("--row", help='A row as JSON, such as \'{"text": "..."}\'; may be repeated.'),
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option(help="An adapter's folder or a run's; none: the bare base.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Answer rows, all in one batch; without --row, JSON lines are read from standard input."""
    from pretune import api
    from pretune.spec.task import load_task

    spec = load_task(task)
    rows = [_parse(number, line) for number, line in enumerate(row or _lines(), 1)]
    quiet_libraries()
    answers = api.generate(spec, rows, adapter)
    table = Table(show_header=True)
    table.add_column("answer")
    if spec.labels:
        table.add_column("label")
    for one in answers:
        table.add_row(Text(one.text), *([Text(one.label or "none")] if spec.labels else []))
    show([one._asdict() for one in answers], table, as_json=as_json)


def _lines() -> list[str]:
    return [line for line in sys.stdin if line.strip()]


def _parse(number: int, line: str) -> dict[str, object]:
    from pretune.core.errors import DataError

    try:
        value = json.loads(line)
    except ValueError as error:
        raise DataError(f"row {number} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f'row {number} is no JSON object; write it like {{"text": "..."}}')
    return value
