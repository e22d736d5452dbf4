"""Progress for people: a bar with ETA, live loss and metric, or now and then a line."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from pretune.core.events import Event

LINE_SECONDS = 10.0
"""Between two lines where the output is no terminal."""


class ProgressBar:
    """Shows one training at a time on ``console``.

    On a terminal that is a live bar; elsewhere a line every ten seconds, and one for every
    validation.
    """

    def __init__(
        self,
        console: Console,
        title: str = "training",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._title = title
        self._clock = clock
        self._last_line = clock()
        self._bar: Progress | None = None
        self._steps = 0
        self._watch: str | None = None
        self._metric = ""

    def emit(self, event: Event) -> None:
        """Show what happened."""
        handlers: dict[str, Callable[[Event], None]] = {
            "train.start": self._start,
            "train.step": self._step,
            "train.validation": self._validation,
            "train.done": self._end,
            "train.failed": self._end,
        }
        if event.kind in handlers:
            handlers[event.kind](event)

    def _start(self, event: Event) -> None:
        self._steps, self._watch = event.values["steps"], event.values["watch"]
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[shown]}"),
                console=self._console,
            )
            self._bar.add_task(self._title, total=self._steps, completed=event.step, shown="")
            self._bar.start()
        elif event.step:
            self._line(event.step, "goes on from here")

    def _step(self, event: Event) -> None:
        values = event.values
        shown = f"eta {_clock_time(values['eta_s'])}  loss {values['loss']:.4f}{self._metric}"
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=event.step, shown=shown)
        elif self._clock() - self._last_line >= LINE_SECONDS:
            self._line(event.step, shown)

    def _validation(self, event: Event) -> None:
        if self._watch is not None:
            self._metric = f"  {self._watch} {event.values[self._watch]:.4f}"
        if self._bar is None:
            self._line(event.step, _metrics(event.values))

    def _end(self, event: Event) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if event.kind == "train.done":
            self._line(
                event.step, f"{event.values['reason']} after {event.values['seconds']:.0f} s"
            )

    def _line(self, step: int, text: str) -> None:
        self._last_line = self._clock()
        self._console.print(
            f"{self._title}  step {step}/{self._steps}  {text}", highlight=False, markup=False
        )


def _metrics(values: Mapping[str, Any]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in values.items())


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
