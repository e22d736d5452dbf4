"""``pretune adapters``: what adapters a folder holds."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pretune.cli.output import AsJson, show


def adapters(
    root: Annotated[Path, typer.Argument(help="Folder to look in, at any depth.")] = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """List adapters with their method, scope, size and metrics."""
    from pretune.adapters.manifest import MANIFEST, WEIGHTS, read_manifest
    from pretune.core.digest import SHORT
    from pretune.core.errors import AdapterError

    if not root.is_dir():
        raise AdapterError(f'no folder "{root}"; name one that pretune train wrote to')
    found = []
    for path in sorted(root.rglob(MANIFEST)):
        folder = path.parent
        if any(part.startswith(".") for part in folder.relative_to(root).parts):
            continue
        manifest = read_manifest(folder)
        size = (folder / WEIGHTS).stat().st_size
        found.append({"folder": str(folder), "bytes": size, **manifest})
    table = Table()
    for name in ("adapter", "task", "method", "scope", "weights", "KB", "metrics", "folder"):
        table.add_column(name, justify="right" if name in ("weights", "KB") else "left")
    for one in found:
        notes = one["notes"]
        table.add_row(
            one["digest"][:SHORT],
            str(notes.get("task", "")),
            one["identity"]["method"]["name"],
            one["identity"]["scope"],
            f"{one['parameters']:,}",
            f"{one['bytes'] / 1024:,.0f}",
            ", ".join(f"{name} {value:.3f}" for name, value in notes.get("metrics", {}).items()),
            one["folder"],
        )
    show(found, table, as_json=as_json)
