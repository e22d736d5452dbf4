"""Axes and numbers for people: round ticks, sizes, times."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis: where it is drawn, and what it says."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from ``low`` to ``high``, drawn from ``start`` to ``end`` (SVG user units)."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where ``value`` is drawn."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self, most: int = 6) -> tuple[Tick, ...]:
        """Marks at round values, both ends included where they are round."""
        step = round_step(self.low, self.high, most)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return tuple(Tick(self(i * step), f"{i * step:g}") for i in range(first, last + 1))


def round_step(low: float, high: float, most: int = 6) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that makes at most ``most`` ticks."""
    rough = (high - low) / (most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    return next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= rough * (1 - 1e-9))


def round_range(values: Sequence[float], *, from_zero: bool = False) -> tuple[float, float]:
    """Round bounds around ``values``, never of zero width."""
    low, high = (0.0 if from_zero else min(values)), max(values)
    if high <= low:
        high = low + 1.0
    step = round_step(low, high)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def count(number: int | None) -> str:
    """A number in three figures, as in 1.23 M; a dash for none."""
    return _scaled(number, 1000, ("", " k", " M", " G", " T"))


def size(number: int | None) -> str:
    """Bytes in three figures, as in 512 KiB; a dash for none."""
    return _scaled(number, 1024, (" B", " KiB", " MiB", " GiB", " TiB"))


def duration(seconds: float | None) -> str:
    """Seconds as a person says them; a dash for none."""
    if seconds is None:
        return "–"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _scaled(number: int | None, base: int, units: Sequence[str]) -> str:
    if number is None:
        return "–"
    value, power = float(number), 0
    while round(value) >= base and power < len(units) - 1:
        value, power = value / base, power + 1
    text = f"{value:.0f}" if power == 0 or value >= 99.95 else f"{value:.3g}"
    return text + units[power]
