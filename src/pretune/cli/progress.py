"""A progress bar on stderr for work that is counted in rows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pretune.cli.output import errors


@contextmanager
def counting(title: str) -> Iterator[Callable[[int], None]]:
    """Yield what to call with the number of rows just done."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed} rows"))
    with Progress(*columns, TimeElapsedColumn(), console=errors, transient=True) as progress:
        bar = progress.add_task(title, total=None)
        yield lambda count: progress.update(bar, advance=count)
