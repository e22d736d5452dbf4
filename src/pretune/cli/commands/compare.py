"""``pretune compare``: two evaluations on the same rows."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pretune.cli.output import AsJson, show


def compare(
    first: Annotated[Path, typer.Argument(help="Folder of the first evaluation.")],
    second: Annotated[Path, typer.Argument(help="Folder of the second evaluation.")],
    as_json: AsJson = False,
) -> None:
    """Is the second evaluation better than the first? Paired, with interval and p value."""
    from pretune.api import compare_runs
    from pretune.cli.tables import comparison_table

    found = compare_runs(first, second)
    show([asdict(one) for one in found], comparison_table(found), as_json=as_json)
