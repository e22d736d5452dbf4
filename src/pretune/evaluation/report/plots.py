"""Geometry of the page's plots. Templates draw it: no markup here, so that escaping has one place.

Lengths are SVG user units; a plot is as wide as its card and scales with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pretune.evaluation.goals import GoalCheck
from pretune.evaluation.intervals import Interval
from pretune.evaluation.report.records import RunSummary
from pretune.evaluation.report.scales import Scale, Tick, round_range
from pretune.evaluation.tables import NO_LABEL, Confusion, top_confusions

WIDTH = 340
MOST_POINTS = 240
MOST_HEAT_LABELS = 12
"""A larger matrix cannot be read; the labels most often confused are kept."""

_NAME_WIDTH = 92
_VALUE_WIDTH = 48
_ROW = 30
_AXIS = 26


@dataclass(frozen=True, slots=True)
class ForestRow:
    """One run: ``y`` of its line, ``x`` of its value and of the interval's ends."""

    name: str
    colour: int
    y: float
    x: float
    x_low: float
    x_high: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Forest:
    """Intervals of one metric, a run a row; ``thresholds`` are goals on it."""

    metric: str
    height: float
    floor: float
    left: float
    right: float
    rows: tuple[ForestRow, ...]
    ticks: tuple[Tick, ...]
    thresholds: tuple[Tick, ...]
    width: float = WIDTH


@dataclass(frozen=True, slots=True)
class Curve:
    """One run's loss: ``points`` as SVG wants them, ``last`` the final loss."""

    name: str
    colour: int
    points: str
    end_x: float
    end_y: float
    last: float


@dataclass(frozen=True, slots=True)
class LossPlot:
    """Loss over steps, a line a run."""

    curves: tuple[Curve, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    left: float
    right: float
    floor: float
    width: float = WIDTH
    height: float = 190


@dataclass(frozen=True, slots=True)
class Cell:
    """``count`` rows of label ``gold`` answered as ``answered``; ``share`` of that label's rows."""

    x: float
    y: float
    gold: str
    answered: str
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Right labels down, answers across."""

    rows: tuple[Tick, ...]
    columns: tuple[Tick, ...]
    cells: tuple[Cell, ...]
    cell: float
    left: float
    width: float
    height: float
    head: float
    all_labels: int


def forest(
    runs: Sequence[RunSummary],
    metric: str,
    colours: Mapping[str, int],
    checks: Sequence[GoalCheck] = (),
) -> Forest:
    """Intervals of ``metric`` over ``runs``; the axis starts at 0, so that lengths do not lie."""
    shown = [run for run in runs if metric in run.metrics]
    limits = [check.goal.threshold for check in checks if check.goal.metric == metric]
    highest = [run.metrics[metric].high for run in shown] + limits
    left, right = _NAME_WIDTH, WIDTH - _VALUE_WIDTH
    scale = Scale(*round_range(highest, from_zero=True), left, right)
    rows = []
    for i, run in enumerate(shown):
        measured = run.metrics[metric]
        x, x_low, x_high = scale(measured.value), scale(measured.low), scale(measured.high)
        y = _ROW * (i + 0.5) + 8
        rows.append(ForestRow(run.run, colours[run.run], y, x, x_low, x_high, measured))
    floor = _ROW * len(rows) + 12
    thresholds = tuple(Tick(scale(limit), f"{limit:g}") for limit in limits)
    return Forest(metric, floor + _AXIS, floor, left, right, tuple(rows), scale.ticks(), thresholds)


def loss_plot(runs: Sequence[RunSummary], colours: Mapping[str, int]) -> LossPlot | None:
    """Loss curves of ``runs``, long ones as means of neighbours; ``None`` where no run has one."""
    curves = {run.run: _thinned(run.loss) for run in runs if run.loss}
    if not curves:
        return None
    points = [point for curve in curves.values() for point in curve]
    left, right, top, floor = 40.0, WIDTH - 12.0, 10.0, 160.0
    across = Scale(0, max(max(step for step, _ in points), 1), left, right)
    up = Scale(*round_range([loss for _, loss in points]), floor, top)
    drawn = tuple(
        Curve(
            name,
            colours[name],
            " ".join(f"{across(step)},{up(loss)}" for step, loss in curve),
            across(curve[-1][0]),
            up(curve[-1][1]),
            curve[-1][1],
        )
        for name, curve in curves.items()
    )
    return LossPlot(drawn, across.ticks(5), up.ticks(5), left, right, floor)


def heat_map(pairs: Sequence[Confusion]) -> HeatMap | None:
    """The confusion matrix of ``pairs``, or of the labels most often confused; ``None`` without."""
    if not pairs:
        return None
    totals: dict[str, int] = {}
    for pair in pairs:
        totals[pair.gold] = totals.get(pair.gold, 0) + pair.count
    names = sorted({name for pair in pairs for name in (pair.gold, pair.answered)} - {NO_LABEL})
    kept = names
    if len(names) > MOST_HEAT_LABELS:
        ranked = [
            name for one in top_confusions(pairs, len(pairs)) for name in (one.gold, one.answered)
        ]
        known = dict.fromkeys(name for name in ranked + names if name != NO_LABEL)
        kept = sorted(list(known)[:MOST_HEAT_LABELS])
    unknown = [NO_LABEL] if any(pair.answered == NO_LABEL for pair in pairs) else []
    # Wide enough for the longest label; a Chinese character takes up to 12 units.
    left = min(150.0, 24.0 + 12 * max(len(name) for name in kept))
    cell, head = 30.0, 96.0
    at_row = {name: head + i * cell for i, name in enumerate(kept)}
    at_column = {name: left + i * cell for i, name in enumerate(kept + unknown)}
    cells = tuple(
        Cell(
            at_column[pair.answered],
            at_row[pair.gold],
            pair.gold,
            pair.answered or "no label",
            pair.count,
            pair.count / totals[pair.gold],
        )
        for pair in pairs
        if pair.gold in at_row and pair.answered in at_column
    )
    return HeatMap(
        tuple(Tick(y, name) for name, y in at_row.items()),
        tuple(Tick(x, name or "no label") for name, x in at_column.items()),
        cells,
        cell,
        left,
        left + cell * len(at_column) + 40,
        head + cell * len(at_row) + 8,
        head,
        len(names),
    )


def _thinned(curve: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    """At most MOST_POINTS points, each the mean of as many neighbours."""
    group = -(-len(curve) // MOST_POINTS)
    thin = []
    for start in range(0, len(curve), group):
        part = curve[start : start + group]
        thin.append(
            (sum(step for step, _ in part) / len(part), sum(loss for _, loss in part) / len(part))
        )
    return thin
