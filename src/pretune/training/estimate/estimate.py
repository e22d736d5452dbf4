"""What a training will take on this machine: low, expected, high; reckoned first, then measured."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import torch

from pretune.bases import Base
from pretune.spec.base import BaseSpec
from pretune.training.estimate.calibrate import (
    Calibration,
    Range,
    memory_features,
    time_features,
)
from pretune.training.estimate.dry_run import Measured
from pretune.training.estimate.reckon import Reckoned, blank_of, reckon
from pretune.training.estimate.speed import Speed
from pretune.training.estimate.work import Work
from pretune.training.precision import autocasts

_SPREAD = 1.05
"""What the same training may take more the next time."""


class Source(StrEnum):
    """Where an estimate comes from."""

    RECKONED = "reckoned from shapes"
    DRY_RUN = "measured by two steps"


@dataclass(frozen=True, slots=True)
class Course:
    """How a training goes: ``steps``, ``filling`` (tokens of a usual step over those of the
    longest), and how many times how many rows are measured."""

    steps: int
    filling: float = 1.0
    measurings: int = 0
    measured_rows: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of one device. ``memory`` is bytes above what the libraries hold, ``parts`` how they come
    about in ``phase``, the highest; ``step`` and ``whole`` are seconds. ``trained`` counts
    weights."""

    source: Source
    memory: Range
    phase: str
    parts: Mapping[str, int]
    step: Range
    whole: Range
    trained: int
    records: tuple[int, int]
    """Measured trainings behind it: shipped ones, the user's own."""


class Estimator:
    """Estimates for one device of one machine."""

    def __init__(self, calibration: Calibration, speeds: Mapping[bool, Speed], device: str) -> None:
        self._calibration = calibration
        self._speeds = speeds
        self.device = torch.device(device)
        self._bases: dict[BaseSpec, Base] = {}

    def off_by(self, memory: float, time: float) -> "Estimator":
        """The same machine and bases, where all takes so many times what is expected here."""
        found = self._calibration.off_by(memory, time)
        other = Estimator(found, self._speeds, str(self.device))
        other._bases = self._bases
        return other

    def base(self, spec: BaseSpec) -> Base:
        """The base without its numbers; looked up once."""
        if spec not in self._bases:
            self._bases[spec] = blank_of(spec)
        return self._bases[spec]

    def reckon(self, work: Work) -> Reckoned:
        """Before correction."""
        autocast = autocasts(work.train, self.device)
        return reckon(work, self.base(work.base), autocast=autocast)

    def estimate(self, work: Work, course: Course) -> Estimate:
        """Reckoned from shapes, corrected by what was measured before."""
        reckoned, calibration = self.reckon(work), self._calibration
        expected = [calibration.memory.expects(memory_features(p.bytes)) for p in reckoned.phases]
        place = max(range(len(expected)), key=expected.__getitem__)
        low = work.base.precision != "fp32" or autocasts(work.train, self.device)
        times = time_features(reckoned.flops, reckoned.moved, reckoned.calls, self._speeds[low])
        step = calibration.time.range(calibration.time.expects(times))
        answering = step.times(reckoned.measuring_flops / max(reckoned.flops, 1.0))
        return Estimate(
            source=Source.RECKONED,
            memory=calibration.memory.range(expected[place]),
            phase=reckoned.phases[place].phase,
            parts=reckoned.phases[place].bytes,
            step=step,
            whole=_whole(work, course, step, answering),
            trained=reckoned.trained,
            records=(calibration.shipped, calibration.own),
        )


def replaced(estimate: Estimate, work: Work, course: Course, found: Measured) -> Estimate:
    """``estimate`` with what a dry run found in the place of what was reckoned."""
    if not found.fits:
        return estimate
    step = _around(found.step_seconds)
    return replace(
        estimate,
        source=Source.DRY_RUN,
        memory=_around(found.peak),
        step=step,
        whole=_whole(work, course, step, _around(found.measuring_seconds)),
    )


def _around(value: float) -> Range:
    return Range(value / _SPREAD, value, value * _SPREAD)


def _whole(work: Work, course: Course, step: Range, chunk: Range) -> Range:
    """Seconds of all steps, and of all measuring: that of a chunk for as many rows as there are."""
    total = step.times(course.steps * course.filling)
    if work.measuring is None:
        return total
    chunks = course.measurings * course.measured_rows / len(work.measuring.rows)
    more = chunk.times(chunks * course.filling)
    return Range(*(a + b for a, b in zip(total, more, strict=True)))
