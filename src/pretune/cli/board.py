"""The board of a search: what each trial has reached, while it runs."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pretune.core.events import Event

_MOST_SHOWN = 12
"""Trials on the board: those that run, and the best of the others."""

_SERVED = "served, to see its goals on latency, cost and memory"
_SPARKS = "▁▂▃▄▅▆▇█"

_STYLES = {"finished": "", "stopped early": "dim", "refused": "yellow", "failed": "red"}


@dataclass
class _Line:
    """One trial."""

    number: int
    says: str
    values: list[float] = field(default_factory=list)
    value: float | None = None
    fate: str = ""
    share: float = 0.0
    steps: int = 0


class Board:
    """A live table on a terminal; elsewhere a line for each thing that happens."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines: dict[int, _Line] = {}
        self._about: dict[str, Any] = {}
        self._began = time.monotonic()
        self._live: Live | None = None
        self._served: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def emit(self, event: Event) -> None:
        """Show what happened."""
        if event.kind == "tune.start":
            self._start(event.values)
        elif event.kind == "tune.trial":
            line = self._lines[event.step] = _Line(event.step, event.values["says"])
            self._say(line, event.values["why"])
        elif event.kind == "tune.serve":
            self._served = event.step
            self._say(self._lines[event.step], _SERVED)
        elif event.kind == "tune.done":
            self._over(event.values["trial"])
        elif event.kind.startswith("train.") and event.values["trial"] in self._lines:
            self._training(self._lines[event.values["trial"]], event)
        if self._live is not None:
            self._live.update(self._table())

    def _start(self, about: Any) -> None:
        self._about, self._began = dict(about), time.monotonic()
        for trial in about["done"]:
            self._take(trial)
        if self._console.is_terminal:
            self._live = Live(console=self._console, transient=True, refresh_per_second=4)
            self._live.start()
        elif about["done"] or about["halves"]:
            self._console.print(
                f"{len(about['done'])} trials are over, {about['halves']} half trained"
            )

    def _training(self, line: _Line, event: Event) -> None:
        if event.kind == "train.start":
            line.steps = event.values["steps"]
        elif event.kind == "train.validation":
            line.values.append(event.values[self._about["metric"]])
            self._say(line, f"{line.values[-1]:.3f} at step {event.step}")
        if line.steps:
            line.share = event.step / line.steps

    def _over(self, trial: dict[str, Any]) -> None:
        line = self._take(trial)
        value = "" if line.value is None else f" {line.value:.3f}"
        reason = f": {trial['reason']}" if trial["reason"] else ""
        self._say(line, f"{line.fate}{value}{reason}")

    def _take(self, trial: dict[str, Any]) -> _Line:
        line = self._lines[trial["number"]] = _Line(
            trial["number"],
            trial["says"],
            [value for _, value in trial["marks"]],
            trial["value"],
            trial["fate"],
        )
        return line

    def _say(self, line: _Line, what: str) -> None:
        """A line for a log; the live table shows it otherwise."""
        if self._live is None:
            said = f"trial {line.number}, {line.says}: {what}"
            self._console.print(said, markup=False, soft_wrap=True)

    def _table(self) -> RenderableType:
        table = Table(title=self._title(), title_justify="left")
        for name, justify in (("trial", "right"), ("configuration", "left"), ("", "left")):
            table.add_column(name, justify=justify)  # type: ignore[arg-type]
        table.add_column(self._about["metric"], justify="right")
        table.add_column("")
        ordered = self._ordered()
        for line in ordered[:_MOST_SHOWN]:
            value = line.value if line.fate else max(line.values, default=None)
            table.add_row(
                str(line.number),
                line.says,
                _spark(line.values),
                "" if value is None else f"{value:.3f}",
                _SERVED if line.number == self._served else line.fate or f"{line.share:.0%}",
                style=_STYLES.get(line.fate, "bold"),
            )
        hidden = len(ordered) - _MOST_SHOWN
        return Group(table, Text(f"and {hidden} more", "dim")) if hidden > 0 else table

    def _ordered(self) -> list[_Line]:
        """Running ones first, then the best."""
        sign = -1 if self._about["higher_is_better"] else 1
        worst = float("inf")
        return sorted(
            self._lines.values(),
            key=lambda one: (
                one.fate != "",
                one.fate != "finished",
                worst if one.value is None else sign * one.value,
                one.number,
            ),
        )

    def _title(self) -> str:
        about = self._about
        trained = sum(one.fate not in ("", "refused") for one in self._lines.values())
        minutes = (about["seconds"] + time.monotonic() - self._began) / 60
        of_trials = "" if about["trials"] is None else f" of {about['trials']}"
        of_minutes = "" if about["minutes"] is None else f" of {about['minutes']:g}"
        return f"{about['task']}: {trained}{of_trials} trials, {minutes:.1f}{of_minutes} minutes"


def _spark(values: Sequence[float]) -> str:
    """Values between 0 and 1 as a row of bars."""
    tall = len(_SPARKS) - 1
    return "".join(_SPARKS[min(tall, max(0, round(value * tall)))] for value in values)
