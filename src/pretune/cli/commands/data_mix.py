"""``pretune data mix``: rows of several kinds to one training set."""

from pathlib import Path
from typing import Annotated

import typer

from pretune.cli.output import AsJson, show
from pretune.cli.progress import counting


def mix(
    sources: Annotated[list[Path], typer.Argument(help="Files of rows, of any kind.")],
    out: Annotated[Path, typer.Option(help="Folder for train, validation and test .jsonl.")],
    share: Annotated[
        list[str], typer.Option(help="Largest share of a kind in train, as synthetic=0.5.")
    ] = [],  # noqa: B006 # typer copies it
    cap: Annotated[
        list[str], typer.Option(help="Most training rows of a kind, as augmented=2000.")
    ] = [],  # noqa: B006
    per_root: Annotated[
        int | None, typer.Option(help="Most training rows made from one row.")
    ] = None,
    validation: Annotated[
        list[Path], typer.Option(help="Files of validation rows; none: cut from the seed rows.")
    ] = [],  # noqa: B006
    test: Annotated[
        list[Path], typer.Option(help="Files of test rows; none: cut by --test-share.")
    ] = [],  # noqa: B006
    validation_share: Annotated[float, typer.Option(help="Share of seed rows to cut.")] = 0.1,
    test_share: Annotated[float, typer.Option(help="Share of seed rows to cut.")] = 0.0,
    asks: Annotated[
        list[str], typer.Option(help="Column that asks; rows that ask the same stay together.")
    ] = [],  # noqa: B006
    seed: Annotated[int, typer.Option(help="Which rows are taken where not all can be.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the files.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put kinds of rows together by share and cap; validation and test get seed rows only."""
    from pretune.cli.tables import written_text
    from pretune.data.mix import mix_rows
    from pretune.spec.mixing import parse_mix

    spec = parse_mix(
        {
            "shares": _pairs("share", share),
            "caps": _pairs("cap", cap),
            "per_root": per_root,
            "validation_share": validation_share,
            "test_share": test_share,
            "asks": asks,
            "seed": seed,
        }
    )
    with counting(f"mix {out.name}") as progress:
        written = mix_rows(
            sources,
            out,
            spec,
            validation=validation,
            test=test,
            overwrite=overwrite,
            progress=progress,
        )
    show(written.to_dict(), written_text(written), as_json=as_json)


def _pairs(option: str, given: list[str]) -> dict[str, str]:
    from pretune.core.errors import SpecError

    for pair in given:
        if "=" not in pair:
            raise SpecError(f'--{option} "{pair}" names no number; write it like synthetic=0.5')
    return dict(pair.split("=", 1) for pair in given)
