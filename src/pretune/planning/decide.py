"""Whether there are rows enough to decide a goal, before anything is measured.

The interval of a share ``v`` over ``n`` rows reaches ``1.96 sqrt(d v (1 - v) / n)`` to each side;
``d`` is how much wider this metric's interval was than a share's where one was measured, else 1. At
a share of 0 or 1 the interval is the rule of three's, ``3 / n``, as in
:func:`pretune.evaluation.intervals.interval`.
"""

import math
from dataclasses import dataclass

from pretune.evaluation.intervals import Interval
from pretune.spec.goals import Goal

_Z = 1.96
_GRID = 1000
MARGIN = 0.05
"""Distance of a true value from the threshold that the rows should decide."""

_WIDEST = 25.0
"""Most that a metric's variance is taken to be that of a share."""


@dataclass(frozen=True, slots=True)
class Decidable:
    """What ``rows`` rows can say about ``goal``.

    ``passes_at`` is the value nearest to the threshold that passes, ``fails_at`` the nearest that
    fails; ``None``: no value does. ``needed`` rows decide a value ``margin`` beyond the threshold,
    of which ``missing`` are not there; ``None``: no number of rows does, as nothing lies beyond.
    """

    goal: Goal
    rows: int
    passes_at: float | None
    fails_at: float | None
    margin: float
    needed: int | None

    @property
    def missing(self) -> int:
        """Rows to be added."""
        return 0 if self.needed is None else max(0, self.needed - self.rows)

    @property
    def reason(self) -> str:
        """In a sentence or two."""
        if self.needed is None:
            return (
                "no number of rows can show it: even a perfect result has an interval that ends "
                "short of the threshold; set one that leaves room"
            )
        side = "up" if self.goal.rises else "down"
        if self.passes_at is None:
            lead = f"no value can pass with {self.rows:,} rows"
        else:
            lead = f"with {self.rows:,} rows, values from {self.passes_at:.3f} {side} pass"
        if self.missing:
            return (
                f"{lead}; to decide a value {self.margin:.3g} beyond the threshold takes "
                f"{self.needed:,} rows, {self.missing:,} are missing"
            )
        return f"{lead}; {self.needed:,} decide a value {self.margin:.3g} beyond the threshold"


def decidable(
    goal: Goal, rows: int, measured: Interval | None = None, *, margin: float = MARGIN
) -> Decidable:
    """What ``rows`` rows can say; ``measured`` is the same metric where it was measured already."""
    wider = _wider(measured)
    best = 1.0 if goal.rises else 0.0
    # Nearer to the end of the scale than the margin there is only half of what is left.
    margin = min(margin, abs(best - goal.threshold) / 2)
    target = goal.threshold + (margin if goal.rises else -margin)
    return Decidable(
        goal,
        rows,
        _nearest(goal, rows, wider, passes=True),
        _nearest(goal, rows, wider, passes=False),
        margin,
        _needed(target, margin, wider),
    )


def rows_to_decide(goal: Goal, measured: Interval) -> int | None:
    """Rows that would decide ``goal`` if its value stays as ``measured``. ``None``: the value lies
    at the threshold, or its interval has no end on that side."""
    distance = abs(measured.value - goal.threshold)
    end = measured.low if measured.value > goal.threshold else measured.high
    half = abs(measured.value - end)
    if not distance or math.isinf(half):
        return None
    return rows_to_reach(distance, half, measured.n)


def rows_to_reach(distance: float, half: float, rows: int) -> int:
    """Rows over which an interval reaches no further than ``distance``, where it reaches ``half``
    over ``rows``: it narrows with the root of the rows, and by the rule of three with the rows
    themselves."""
    power = 1 if math.isclose(half * rows, 3) else 2
    return max(rows + 1, math.ceil(round(rows * (half / distance) ** power, 6)))


def _half(value: float, rows: int, wider: float) -> float:
    if value in (0.0, 1.0):
        return 3 / rows
    return _Z * math.sqrt(wider * value * (1 - value) / rows)


def _nearest(goal: Goal, rows: int, wider: float, *, passes: bool) -> float | None:
    if not rows:
        return None
    sign = 1 if goal.rises == passes else -1
    steps = min(rows, _GRID)  # what so many rows can show at all
    values = sorted((i / steps for i in range(steps + 1)), key=lambda value: sign * value)
    for value in values:
        half = _half(value, rows, wider)
        ends = goal.holds(max(0.0, value - half)), goal.holds(min(1.0, value + half))
        if ends == (passes, passes):
            return value
    return None


def _needed(target: float, margin: float, wider: float) -> int | None:
    if not margin:
        return None
    share = math.ceil(wider * target * (1 - target) * (_Z / margin) ** 2)
    return max(share, math.ceil(3 / (2 * margin)), 1)


def _wider(measured: Interval | None) -> float:
    if measured is None or not 0 < measured.value < 1:
        return 1.0
    half = measured.spread / 2
    found = (half / _Z) ** 2 * measured.n / (measured.value * (1 - measured.value))
    return min(_WIDEST, max(1.0, found))
