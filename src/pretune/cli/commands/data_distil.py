"""``pretune data distil``: documents to question-answer pairs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pretune.cli.output import AsJson, quiet_libraries, show, telling_new_key

if TYPE_CHECKING:
    from pretune.data.distil.distil import Distilled


def distil(
    folder: Annotated[Path, typer.Argument(help="Folder of .txt, .md, .html, .pdf and .docx.")],
    config: Annotated[Path, typer.Option(help="The distil file: teacher, budget, questions.")],
    out: Annotated[Path, typer.Option(help="Folder for the pairs and the teacher's answers.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the files; answers stay.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let a teacher ask and answer about documents; keep the pairs that stand every check."""
    from pretune.api.distil import distil_documents
    from pretune.cli.progress import asking
    from pretune.data.teacher.bill import currency_of
    from pretune.spec.distil import load_distil

    spec = load_distil(config)
    key = spec.mask.key if spec.mask else None
    quiet_libraries()
    currency = currency_of(spec.teacher)
    bar = asking(f"distil {out.name}", currency, "chunks", "pairs")
    with telling_new_key(key), bar as progress:
        done = distil_documents(folder, out, spec, overwrite=overwrite, progress=progress)
    show(done.to_dict(), _table(done), as_json=as_json)


def _table(done: "Distilled") -> RenderableType:
    """What was made, what was not and why, and what it cost."""
    from pretune.cli.tables import bill_lines
    from pretune.data.documents.step import REFUSED

    table = Table(show_header=False)
    table.add_column("what")
    table.add_column("how many", justify="right")
    for written in (done.chunks, done.pairs):
        for what, number in sorted(written.counts.items()):
            table.add_row(what, f"{number:,}")
    for what, much in bill_lines(done.bill):
        table.add_row(what, much)
    lines = [str(done.pairs.files["pairs"])]
    if done.pairs.rows["rejected"]:
        lines.append(f"rejected, with reasons: {done.pairs.files['rejected']}")
    if done.chunks.counts.get(REFUSED):
        lines.append(f"what became of each document: {done.chunks.files['documents']}")
    return Group(table, *(Text(line, overflow="fold") for line in lines))
