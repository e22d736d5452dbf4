"""What long work shows on stderr beside its training bar."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pretune.cli.output import errors
from pretune.core.events import Event


@contextmanager
def counting(title: str) -> Iterator[Callable[[int], None]]:
    """Yield what to call with the number of rows just done."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed} rows"))
    with Progress(*columns, TimeElapsedColumn(), console=errors, transient=True) as progress:
        bar = progress.add_task(title, total=None)
        yield lambda count: progress.update(bar, advance=count)


class Findings:
    """Shows what the data report found, before training starts."""

    def emit(self, event: Event) -> None:
        """Print the findings of a ``data.report``."""
        if event.kind == "data.report":
            for finding in event.values["findings"]:
                errors.print(finding, style="yellow", markup=False)
