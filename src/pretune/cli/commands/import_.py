"""``pretune import``: bring in an adapter in PEFT's format."""

from pathlib import Path
from typing import Annotated

import typer

from pretune.cli.output import AsJson, quiet_libraries, show
from pretune.core.scope import Scope


def import_(
    source: Annotated[Path, typer.Argument(help="Folder with adapter_config.json.")],
    scope: Annotated[
        Scope, typer.Option(help="all: as PEFT trains; prompt: act on the prompt only.")
    ],
    base: Annotated[str, typer.Option(help="The adapter's base: name, folder or hub name.")] = (
        "embedded"
    ),
    out: Annotated[Path, typer.Option(help="Folder that the adapter is put into.")] = Path(
        "adapters"
    ),
    as_json: AsJson = False,
) -> None:
    """Import LoRA, DoRA, prefix or prompt tuning from PEFT's format."""
    from pretune.api import import_adapter
    from pretune.spec.base import BaseSpec

    quiet_libraries()
    folder = import_adapter(source, BaseSpec(name=base), scope, out)
    show({"folder": str(folder)}, f'imported to "{folder}"', as_json=as_json)
