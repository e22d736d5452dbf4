"""The results as rows for people, and as one HTML page that needs nothing else."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pretune.bench.figures import TARGETS, Figure
from pretune.bench.run import Results
from pretune.evaluation.report.pages import environment
from pretune.evaluation.report.scales import Scale, Tick, round_range

_COLOURS = {"pretune": 2, "PEFT": 1, "vLLM": 3}
"""Of the report's palette."""

_ALONE = {1: "#c77712", 2: "#2f6fdb", 3: "#0f8f7a"}
"""The same where the report is not around, for light and dark pages alike."""


class FigureRow(NamedTuple):
    """One figure as a line of a table."""

    name: str
    value: str
    spread: str
    target: str
    verdict: str
    note: str


def figure_row(figure: Figure) -> FigureRow:
    """``figure`` in words: its verdict is pass, fail, not measured, or nothing to keep."""
    target = TARGETS.get(figure.name)
    verdict = {True: "pass", False: "fail", None: ""}[figure.met]
    if figure.value is None:
        verdict = "not measured"
    spread = ""
    if figure.low is not None and figure.high is not None:
        spread = f"{_number(figure.low)} to {_number(figure.high)}"
    value = "–" if figure.value is None else _number(figure.value)
    return FigureRow(
        figure.name,
        value,
        spread,
        "" if target is None else str(target),
        verdict,
        figure.reason or _note(figure),
    )


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) >= 10 else f"{value:.3f}"


def _note(figure: Figure) -> str:
    plain = {key: value for key, value in figure.details.items() if not isinstance(value, list)}
    return "; ".join(f"{key} {_flat(value)}" for key, value in plain.items())


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_flat(one)}" for key, one in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class Dot:
    """One measured throughput, drawn at ``x``, ``y``."""

    x: float
    y: float
    tasks: int
    tokens_per_s: float


@dataclass(frozen=True, slots=True)
class Curve:
    """One engine's throughputs."""

    name: str
    colour: int
    points: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True, slots=True)
class ThroughputPlot:
    """Tokens a second over the number of tasks, a line an engine. SVG user units."""

    curves: tuple[Curve, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    left: float = 52.0
    right: float = 620.0
    floor: float = 250.0
    width: float = 640.0
    height: float = 276.0


def throughput_plot(figures: Sequence[Figure]) -> ThroughputPlot | None:
    """All throughputs that ``figures`` hold; ``None`` without any. Where two measures have the
    same engine at the same number of tasks, the first is drawn."""
    speeds: dict[str, dict[int, float]] = {}
    for figure in figures:
        for point in figure.details.get("points", ()):
            if point["tasks"]:
                own = speeds.setdefault(point["engine"], {})
                own.setdefault(point["tasks"], point["tokens_per_s"])
    if not speeds:
        return None
    numbers = sorted({tasks for own in speeds.values() for tasks in own})
    frame = ThroughputPlot((), (), ())
    across = Scale(0.0, max(1.0, math.log2(numbers[-1])), frame.left, frame.right)
    highest = max(speed for own in speeds.values() for speed in own.values())
    up = Scale(*round_range([highest], from_zero=True), frame.floor, 12.0)
    curves = []
    for name, own in speeds.items():
        dots = tuple(
            Dot(across(math.log2(tasks)), up(speed), tasks, speed)
            for tasks, speed in sorted(own.items())
        )
        points = " ".join(f"{dot.x},{dot.y}" for dot in dots)
        curves.append(Curve(name, _COLOURS[name], points, dots))
    return ThroughputPlot(
        tuple(curves),
        tuple(Tick(across(math.log2(tasks)), str(tasks)) for tasks in numbers),
        up.ticks(),
    )


def render(results: Results) -> str:
    """One HTML page with the table, the plot and the machine."""
    return (
        environment("pretune.bench", escape=True)
        .get_template("bench.html.jinja")
        .render(
            results=results,
            rows=[figure_row(figure) for figure in results.figures],
            plot=throughput_plot(results.figures),
        )
    )


def render_plot(figures: Sequence[Figure]) -> str | None:
    """The plot as a picture of its own (SVG); ``None`` where nothing is to be drawn."""
    plot = throughput_plot(figures)
    if plot is None:
        return None
    curves = (
        f"{curve.name} {', '.join(f'{dot.tokens_per_s:.0f}' for dot in curve.dots)}"
        for curve in plot.curves
    )
    numbers = ", ".join(tick.text for tick in plot.x_ticks)
    title = f"Tokens a second with {numbers} tasks: {'; '.join(curves)}"
    template = environment("pretune.bench", escape=True).get_template("throughput.svg.jinja")
    return template.render(plot=plot, title=title, colours=_ALONE)
