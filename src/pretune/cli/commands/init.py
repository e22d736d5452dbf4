"""``pretune init``: write a task file for a data file."""

from pathlib import Path
from typing import Annotated

import typer
from rich.syntax import Syntax

from pretune.cli.output import AsJson, console, show


def init(
    data: Annotated[Path, typer.Argument(help="A data file: .jsonl, .json, .csv, .tsv, .parquet.")],
    out: Annotated[
        Path | None, typer.Option(help="The task file; default: <data>.yaml beside the data.")
    ] = None,
    encoding: Annotated[str, typer.Option(help="Encoding of a text file.")] = "utf-8",
    as_json: AsJson = False,
) -> None:
    """Propose a task file: columns, labels and language are guessed from the rows."""
    from pretune.core.errors import BusyError, DataError
    from pretune.core.files import write_atomic
    from pretune.core.paths import relative_path
    from pretune.data.rejected import Rejected
    from pretune.data.sources import read_rows
    from pretune.spec.init import propose_task

    path = out or data.with_suffix(".yaml")
    if path.exists():
        raise BusyError(f'"{path}" exists; name another file with --out, or remove it')
    read = list(read_rows(data, encoding))
    rows = [row.fields for row in read if not isinstance(row, Rejected)]
    if not rows:
        first = next((f": {row.row_id}: {row.detail}" for row in read), "")  # type: ignore[union-attr]
        raise DataError(f'"{data}" holds no readable rows{first}')
    where = relative_path(data, path.parent)
    proposal = propose_task(rows, where, path.stem, encoding)
    write_atomic(path, proposal.yaml)
    shown = Syntax(proposal.yaml, "yaml", background_color="default", word_wrap=True)
    if not console.is_terminal and not as_json:
        typer.echo(proposal.yaml, nl=False)
        return
    show({"path": str(path), "rows": len(rows), "yaml": proposal.yaml}, shown, as_json=as_json)
