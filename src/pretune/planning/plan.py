"""A plan: what became of each goal before training, what training takes, what is advised."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pretune.evaluation.intervals import Interval
from pretune.planning.adviser import Advice
from pretune.planning.decide import Decidable
from pretune.spec.goals import Goal
from pretune.training.estimate.calibrate import Range
from pretune.training.estimate.dry_run import Measured
from pretune.training.estimate.estimate import Estimate
from pretune.training.estimate.knobs import WayOut


class Prospect(StrEnum):
    """What can be said of a goal before training."""

    DECIDABLE = "decidable"
    TOO_FEW_ROWS = "too few rows"
    EXPECTED = "expected to be met"
    IMPOSSIBLE = "cannot be met"
    LATER = "measured when served"
    GATED = "measured by the gate"


@dataclass(frozen=True, slots=True)
class GoalPlan:
    """One goal: its prospect and why; ``base`` is what the bare base reaches, if measured."""

    goal: Goal
    prospect: Prospect
    reason: str
    rows: Decidable | None = None
    base: Interval | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        rows = self.rows
        return {
            "goal": str(self.goal),
            "need": self.goal.need,
            "prospect": str(self.prospect),
            "reason": self.reason,
            "rows": rows and rows.rows,
            "rows_needed": rows and rows.needed,
            "rows_missing": rows and rows.missing,
            "passes_at": rows and rows.passes_at,
            "base": self.base
            and {"value": self.base.value, "low": self.base.low, "high": self.base.high},
        }


class Fit(StrEnum):
    """Whether a training fits: by the high end of its estimate, by the expected value, or not."""

    FITS = "fits"
    TIGHT = "may not fit"
    TOO_LARGE = "does not fit"


@dataclass(frozen=True, slots=True)
class Resources:
    """``reckoned`` and, if there was a dry run, what it ``measured``; ``estimate`` is the better of
    both. ``room`` is bytes that training may take, infinite where nobody knows; ``way_out`` is
    there unless it fits."""

    reckoned: Estimate
    measured: Measured | None
    estimate: Estimate
    room: float
    idle: int
    device: str
    devices: int
    way_out: WayOut | None

    @property
    def fit(self) -> Fit:
        """Whether it fits."""
        if self.measured is not None and not self.measured.fits:
            return Fit.TOO_LARGE
        memory = self.estimate.memory
        if memory.expected > self.room:
            return Fit.TOO_LARGE
        return Fit.FITS if memory.high <= self.room else Fit.TIGHT

    @property
    def surprise(self) -> str | None:
        """What the dry run found that the estimate had not expected."""
        if self.measured is None:
            return None
        expected = self.reckoned.memory
        ratio = self.measured.peak / expected.expected
        if not self.measured.fits:
            return (
                f"the dry run ended at its limit, {self.measured.peak / 1e9:.2f} GB; the estimate "
                f"was {expected.gb}: with any change it may take more than is said here"
            )
        if expected.low <= self.measured.peak <= expected.high:
            return None
        return f"the dry run took {ratio:.2f} times the estimate; later ones will believe it"

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; bytes and seconds."""
        way = self.way_out
        return {
            "fit": str(self.fit),
            "source": str(self.estimate.source),
            "room_bytes": None if math.isinf(self.room) else round(self.room),
            "libraries_bytes": self.idle,
            "device": self.device,
            "devices": self.devices,
            "memory_bytes": _range(self.estimate.memory),
            "reckoned_memory_bytes": _range(self.reckoned.memory),
            "reckoned_phase": self.reckoned.phase,
            "reckoned_parts_bytes": dict(self.reckoned.parts),
            "step_seconds": _range(self.estimate.step),
            "reckoned_step_seconds": _range(self.reckoned.step),
            "whole_seconds": _range(self.estimate.whole),
            "trained_weights": self.estimate.trained,
            "measured_trainings": {
                "shipped": self.reckoned.records[0],
                "own": self.reckoned.records[1],
            },
            "dry_run": self.measured and self.measured.model_dump(mode="json"),
            "surprise": self.surprise,
            "knobs": [
                {
                    "change": one.change,
                    "price": one.price,
                    "saves_bytes": round(one.saved),
                    "memory_bytes": _range(one.estimate.memory),
                    "whole_seconds": _range(one.estimate.whole),
                }
                for one in (way.knobs if way else ())
            ],
            "together": way and way.together and list(way.together),
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """All that can be said of a task before it is trained. ``split`` is what goals are measured
    on."""

    task: str
    split: str
    rows: Mapping[str, int]
    goals: tuple[GoalPlan, ...]
    resources: Resources
    advice: tuple[Advice, ...]

    @property
    def possible(self) -> bool:
        """Whether nothing is ruled out: no goal, and not the training itself."""
        ruled_out = any(one.prospect is Prospect.IMPOSSIBLE for one in self.goals)
        return not ruled_out and self.resources.fit is not Fit.TOO_LARGE

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "task": self.task,
            "possible": self.possible,
            "split": self.split,
            "rows": dict(self.rows),
            "goals": [one.to_dict() for one in self.goals],
            "resources": self.resources.to_dict(),
            "advice": [
                {
                    "about": one.about,
                    "value": one.value,
                    "reason": one.reason,
                    "evidence": [
                        {"id": figure.id, "says": str(figure), "source": figure.source}
                        for figure in one.evidence
                    ],
                }
                for one in self.advice
            ],
        }


def _range(values: Range) -> dict[str, float]:
    return {name: float(f"{value:.4g}") for name, value in values._asdict().items()}
