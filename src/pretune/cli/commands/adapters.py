"""``pretune adapters``: what adapters a folder holds."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from pretune.cli.output import AsJson, show

_COLUMNS = ("adapter", "task", "method", "scope", "weights", "KB", "metrics", "folder")


def adapters(
    root: Annotated[Path, typer.Argument(help="Folder to look in, at any depth.")] = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """List adapters with their method, scope, size and metrics."""
    from pretune.core.errors import AdapterError

    if not root.is_dir():
        raise AdapterError(f'no folder "{root}"; name one that pretune train wrote to')
    found: list[dict[str, Any]] = []
    table = Table()
    for name in _COLUMNS:
        table.add_column(name, justify="right" if name in ("weights", "KB") else "left")
    for folder in _folders(root):
        try:
            one, cells = _read(folder)
        except AdapterError as error:
            found.append({"folder": str(folder), "problem": str(error)})
            blank = [""] * (len(_COLUMNS) - 2)
            table.add_row(Text(str(error), "red"), *blank, str(folder))
        else:
            found.append(one)
            table.add_row(*cells)
    show(found, table, as_json=as_json)


def _folders(root: Path) -> Iterator[Path]:
    """Those below ``root`` that hold a manifest; one that vanishes meanwhile is passed over."""
    from pretune.adapters.manifest import MANIFEST

    for place, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith("."))
        if MANIFEST in files:
            yield Path(place)


def _read(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """What there is to say of an adapter, as JSON values and as the cells of its line.

    Raises:
        AdapterError: it is damaged, or gone.
    """
    from pretune.adapters.manifest import read_manifest, weights_file
    from pretune.core.digest import SHORT
    from pretune.core.errors import AdapterError

    try:
        one = read_manifest(folder)
        size, notes = weights_file(folder).stat().st_size, one["notes"]
        metrics = notes.get("metrics", {}).items()
        cells = [
            one["digest"][:SHORT],
            str(notes.get("task", "")),
            one["identity"]["method"]["name"],
            one["identity"]["scope"],
            f"{one['parameters']:,}",
            f"{size / 1024:,.0f}",
            ", ".join(f"{name} {value:.3f}" for name, value in metrics),
            str(folder),
        ]
    except AdapterError:
        raise
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise AdapterError(f'adapter "{folder}" is damaged: {error}') from error
    return {"folder": str(folder), "bytes": size, **one}, cells
