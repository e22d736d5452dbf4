"""What commands print: people's text or JSON on stdout, errors and progress on stderr."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.text import Text

from pretune.core.errors import PretuneError

# Names and paths are printed as they are, whatever brackets and colons they hold.
console = Console(highlight=False, markup=False, emoji=False)
errors = Console(stderr=True, highlight=False, markup=False, emoji=False)

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
"""The option that every command with a readable result has."""


def show(result: Any, text: RenderableType, *, as_json: bool) -> None:
    """Print ``result`` as JSON, or ``text`` for people."""
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False, indent=1, default=str))
    else:
        _print(text)


def _print(text: RenderableType) -> None:
    """Lines whole where a file or a program reads them: a path that is broken is no path."""
    if isinstance(text, Group):
        for part in text.renderables:
            _print(part)
    else:
        is_lines = isinstance(text, str | Text)
        console.print(text, soft_wrap=is_lines and not console.is_terminal)


@contextmanager
def telling_new_key(key: Path | None) -> Iterator[None]:
    """Say so when the block makes the key file ``key``, and what it is worth."""
    new = key is not None and not key.exists()
    try:
        yield
    finally:
        if new and key is not None and key.exists():
            errors.print(
                f'made key file "{key}" and its vault beside it; keep both, and apart from the '
                "rows: without them there is no way back",
                style="yellow",
                soft_wrap=True,  # a path that is broken into lines cannot be copied
            )


def report_error(error: PretuneError, *, as_json: bool) -> None:
    """Print a known error as its message alone: the trace would tell a user nothing."""
    kind = type(error).__name__
    if as_json:
        typer.echo(json.dumps({"error": str(error), "kind": kind}, ensure_ascii=False), err=True)
    else:
        errors.print("error:", style="bold red", end=" ")
        # Broken by whoever shows it, or not at all: a path must stay one that can be copied.
        errors.print(str(error), soft_wrap=True)


def quiet_libraries() -> None:
    """Silence the progress bars and notes of the libraries underneath; ours say what matters."""
    import datasets
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
