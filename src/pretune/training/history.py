"""What has happened in a training so far, and what follows from it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple


class StopReason(StrEnum):
    """Why training ended: all steps done, no better metric for too long, given up as not worth
    going on with, or asked to stop."""

    FINISHED = "finished"
    EARLY = "early"
    GIVEN_UP = "given up"
    INTERRUPTED = "interrupted"


class Measurement(NamedTuple):
    """The task's metrics after ``step`` steps."""

    step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Validation:
    """How the task is measured while it is trained.

    ``measure`` runs on the adapter mounted as ``tuned`` and must change nothing; its metric
    ``watch`` chooses the best parameters and stops early. In a training of several processes each
    of them measures, so that all come to the same decision. ``rows`` names what it is measured on:
    values on other rows do not compare.
    """

    measure: Callable[[], Mapping[str, float]]
    watch: str
    higher_is_better: bool = True
    rows: str | None = None

    def best(self, measurements: Sequence[Measurement]) -> Measurement | None:
        """The first of the best; a metric that is not a number is never the best."""
        sign = 1.0 if self.higher_is_better else -1.0
        found: Measurement | None = None
        for one in measurements:
            value = sign * one.metrics[self.watch]
            if math.isfinite(value) and (found is None or value > sign * found.metrics[self.watch]):
                found = one
        return found

    def stale(self, measurements: Sequence[Measurement]) -> int:
        """Measurements since the best one."""
        best = self.best(measurements)
        return sum(best is None or one.step > best.step for one in measurements)


@dataclass
class History:
    """``curve`` is the loss of every step, ``seconds`` and ``tokens`` what all steps took, padding
    not counted, ``measuring`` the seconds of all measurements; ``reason`` is set when training
    ended for good."""

    step: int = 0
    seconds: float = 0.0
    measuring: float = 0.0
    tokens: int = 0
    curve: list[float] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    reason: StopReason | None = None

    def measured(self) -> bool:
        """Whether the parameters as they are now have been measured."""
        return bool(self.measurements) and self.measurements[-1].step == self.step

    def to_json(self) -> dict[str, Any]:
        """As a JSON value; the curve is exact, as floats are written in full."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "measuring": self.measuring,
            "tokens": self.tokens,
            "curve": self.curve,
            "measurements": [[one.step, dict(one.metrics)] for one in self.measurements],
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "History":
        """What :meth:`to_json` wrote."""
        measurements = [Measurement(step, metrics) for step, metrics in value["measurements"]]
        reason = StopReason(value["reason"]) if value["reason"] else None
        return cls(**(dict(value) | {"measurements": measurements, "reason": reason}))
