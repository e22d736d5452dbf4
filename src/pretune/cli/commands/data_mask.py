"""``pretune data mask`` and ``unmask``: what is private, away and back."""

from pathlib import Path
from typing import Annotated

import typer

from pretune.cli.output import AsJson, show, telling_new_key
from pretune.cli.progress import counting

Key = Annotated[Path, typer.Option(help="The key file; its vault is <key>.vault.")]
Spans = Annotated[
    list[str],
    typer.Option(help="Column of spans and the text they count in, as entities=text."),
]
Out = Annotated[Path, typer.Option(help="File for the rows (.jsonl).")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file.")]


def mask(
    rows: Annotated[Path, typer.Argument(help="A file of rows.")],
    out: Out,
    key: Key,
    types: Annotated[
        list[str],
        typer.Option(
            help="What to replace: person, phone, email, address, card, id, plate, account, "
            "secret; none: all."
        ),
    ] = [],  # noqa: B006 # typer copies it
    spans: Spans = [],  # noqa: B006
    presidio: Annotated[
        str | None,
        typer.Option(help="Installed spaCy pipeline that finds names too (pretune[privacy])."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Replace what is private by pseudonyms; the key file, made if there is none, undoes it."""
    from pretune.cli.tables import written_text
    from pretune.data.privacy.mask import mask_rows, private_types

    chosen = private_types(types)
    homes = _homes(spans)
    with telling_new_key(key), counting(f"mask {rows.name}") as progress:
        written = mask_rows(
            rows,
            out,
            key,
            types=chosen,
            homes=homes,
            presidio=presidio,
            overwrite=overwrite,
            progress=progress,
        )
    show(written.to_dict(), written_text(written), as_json=as_json)


def unmask(
    rows: Annotated[Path, typer.Argument(help="A file of rows with pseudonyms.")],
    out: Out,
    key: Key,
    spans: Spans = [],  # noqa: B006
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Put back what pseudonyms stand for, with the key file that masked it."""
    from pretune.cli.tables import written_text
    from pretune.data.privacy.mask import unmask_rows

    homes = _homes(spans)
    with counting(f"unmask {rows.name}") as progress:
        written = unmask_rows(rows, out, key, homes=homes, overwrite=overwrite, progress=progress)
    show(written.to_dict(), written_text(written), as_json=as_json)


def _homes(given: list[str]) -> dict[str, str]:
    from pretune.core.errors import SpecError

    for pair in given:
        if "=" not in pair:
            raise SpecError(f'--spans "{pair}" names no text; write it like entities=text')
    return dict(pair.split("=", 1) for pair in given)
