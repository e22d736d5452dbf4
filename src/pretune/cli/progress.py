"""What long work shows on stderr beside its training bar."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pretune.cli.output import errors
from pretune.core.events import Event

if TYPE_CHECKING:
    from pretune.data.distil.distil import Standing


@contextmanager
def counting(title: str) -> Iterator[Callable[[int], None]]:
    """Yield what to call with the number of rows just done."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed} rows"))
    with Progress(*columns, TimeElapsedColumn(), console=errors, transient=True) as progress:
        bar = progress.add_task(title, total=None)
        yield lambda count: progress.update(bar, advance=count)


@contextmanager
def asking(title: str, currency: str) -> Iterator[Callable[["Standing"], None]]:
    """Yield what to call with how far asking a teacher is, and what it has cost."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"))
    with Progress(*columns, TimeElapsedColumn(), console=errors, transient=True) as progress:
        bar = progress.add_task(title, total=None, told="reading documents")

        def tell(now: "Standing") -> None:
            told = (
                f"{now.chunks:,} of {now.of:,} chunks, {now.kept:,} pairs, {now.rejected:,} "
                f"rejected, {now.spent.calls:,} calls, {now.spent.tokens:,} tokens"
            )
            if now.spent.money:
                told += f", {now.spent.money:,.2f} {currency}"
            progress.update(bar, completed=now.chunks, total=now.of, told=told.rstrip())

        yield tell


class Findings:
    """Shows what the data report found, before training starts."""

    def emit(self, event: Event) -> None:
        """Print the findings of a ``data.report``."""
        if event.kind == "data.report":
            for finding in event.values["findings"]:
                errors.print(finding, style="yellow", markup=False)
