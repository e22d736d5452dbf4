"""``pretune data rules``: check rules, and make rows of them."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pretune.cli.output import AsJson, errors, show
from pretune.cli.progress import counting


class PartOption(StrEnum):
    """Which rows to make."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


def rules(
    file: Annotated[Path, typer.Argument(help="The rules file.")],
    out: Annotated[
        Path | None, typer.Option(help="File for the rows (.jsonl); none: the rules are checked.")
    ] = None,
    rows: Annotated[int, typer.Option(help="Rows to make; hard negatives come on top.")] = 1000,
    part: Annotated[
        PartOption, typer.Option(help="The split that they are for; see hold_out.")
    ] = PartOption.TRAIN,
    seed: Annotated[int, typer.Option(help="Another seed makes other rows.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check rules and show what they make; with --out, make rows."""
    from pretune.cli.tables import written_text
    from pretune.core.errors import SpecError
    from pretune.data.rules.check import check_rules
    from pretune.data.rules.make import make_rows
    from pretune.data.splits import Split
    from pretune.spec.rules import load_rules

    spec = load_rules(file)
    report = check_rules(spec, seed=seed)
    if out is None:
        show(report.to_dict(), report.render(), as_json=as_json)
        return
    if report.contradictions:
        listed = "\n  ".join(report.contradictions)
        raise SpecError(f'rules "{spec.name}" contradict themselves:\n  {listed}')
    for finding in report.findings:
        errors.print(f"{finding.fault}: {finding.said}", style="yellow")
    with counting(f"rules {spec.name}") as progress:
        written = make_rows(
            spec,
            out,
            rows,
            seed=seed,
            part=Split(part),
            overwrite=overwrite,
            progress=progress,
        )
    show(written.to_dict(), written_text(written), as_json=as_json)
