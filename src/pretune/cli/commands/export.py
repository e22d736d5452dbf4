"""``pretune export``: write an adapter in PEFT's format."""

from pathlib import Path
from typing import Annotated

import typer

from pretune.cli.output import AsJson, quiet_libraries, show


def export(
    adapter: Annotated[Path, typer.Argument(help="An adapter's folder or a run's.")],
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    base: Annotated[str, typer.Option(help="The adapter's base: name, folder or hub name.")] = (
        "embedded"
    ),
    as_all_tokens: Annotated[
        bool,
        typer.Option(
            "--as-all-tokens",
            help="Export a prompt-scope adapter although PEFT will apply it to all tokens.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Export LoRA, DoRA, prefix or prompt tuning to PEFT's format."""
    from pretune.api import export_adapter
    from pretune.spec.base import BaseSpec

    quiet_libraries()
    folder = export_adapter(adapter, BaseSpec(name=base), out, as_all_tokens=as_all_tokens)
    show({"folder": str(folder)}, f'exported to "{folder}"', as_json=as_json)
