"""What long work shows on stderr beside its training bar."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from pretune.cli.output import errors
from pretune.core.events import Event

if TYPE_CHECKING:
    from pretune.data.teacher.bill import Standing


@contextmanager
def counting(title: str) -> Iterator[Callable[[int], None]]:
    """Yield what to call with the number of rows just done."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed} rows"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=errors, transient=True) as progress:
        bar = progress.add_task(title, total=None)
        yield lambda count: progress.update(bar, advance=count)


@contextmanager
def passing(title: str) -> Iterator[Callable[[str, int], None]]:
    """Yield what to call with the name of a pass over the rows and the number of rows just done."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed} rows"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=errors, transient=True) as progress:
        bars: dict[str, TaskID] = {}

        def tell(name: str, count: int) -> None:
            if name not in bars:
                bars[name] = progress.add_task(f"{title}: {name}", total=None)
            progress.update(bars[name], advance=count)

        yield tell


@contextmanager
def asking(
    title: str, currency: str, pieces: str, made: str
) -> Iterator[Callable[["Standing"], None]]:
    """Yield what to call with how far asking a teacher is, and what it has cost; ``made`` comes of
    ``pieces``."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[told]}"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=errors, transient=True) as progress:
        bar = progress.add_task(title, total=None, told="reading")

        def tell(now: "Standing") -> None:
            of = "" if now.of is None else f" of {now.of:,}"
            told = f"{now.done:,}{of} {pieces}, {now.kept:,} {made}"
            if now.rejected or now.spent.calls:
                told += (
                    f", {now.rejected:,} rejected, {now.spent.calls:,} calls, "
                    f"{now.spent.tokens:,} tokens"
                )
            if now.spent.money:
                told += f", {now.spent.money:,.2f} {currency}"
            progress.update(bar, completed=now.done, total=now.of, told=told.rstrip())

        yield tell


class Findings:
    """Shows what the data report found, before training starts."""

    def emit(self, event: Event) -> None:
        """Print the findings of a ``data.report``."""
        if event.kind == "data.report":
            for finding in event.values["findings"]:
                errors.print(finding, style="yellow")


class Probing:
    """Shows the runs of a probe that are still to be trained as one bar, with the time that
    remains; where there is no terminal, a line for each run that ends."""

    def __init__(self) -> None:
        self._stages: Stages | None = None
        self._steps: Mapping[str, int] = {}
        self._run = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._stages is not None:
            self._stages.stop()

    def emit(self, event: Event) -> None:
        """Show what happened."""
        if event.kind == "probe.start":
            self._steps = event.values["runs"]
            errors.print(f"{event.values['finished']} runs finished, {len(self._steps)} to train")
            if self._steps:
                self._stages = Stages({run: float(steps) for run, steps in self._steps.items()})
                self._stages.start()
        elif event.kind == "probe.run":
            self._run = event.values["run"]
        elif event.kind in ("train.step", "train.done") and self._stages is not None:
            share = event.step / self._steps[self._run]
            if errors.is_terminal or event.kind == "train.done":
                self._stages.done(self._run, share)


class Stages:
    """A bar over stages whose expected ``seconds`` are known, with the time that remains: it is
    reckoned from how long those done so far really took."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self._seconds = dict(seconds)
        self._shares = dict.fromkeys(seconds, 0.0)
        self._began = time.monotonic()
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
        remaining = (TextColumn("left"), TimeRemainingColumn())
        self._bar = Progress(*columns, *remaining, console=errors, transient=True)
        self._task = self._bar.add_task("starting", total=sum(seconds.values()))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Show the bar."""
        self._bar.start()

    def stop(self) -> None:
        """Take it away."""
        self._bar.stop()

    def done(self, stage: str, share: float) -> None:
        """``share`` of ``stage`` is done; told by a line where there is no terminal."""
        self._shares[stage] = share
        completed = sum(self._seconds[name] * done for name, done in self._shares.items())
        self._bar.update(self._task, description=stage, completed=completed)
        if not errors.is_terminal:
            elapsed = time.monotonic() - self._began
            told = f"{stage} {share:.0%}, {elapsed:.0f} s"
            if completed:
                left = elapsed * (sum(self._seconds.values()) / completed - 1)
                told += f", about {left:.0f} s left"
            errors.print(told)
