"""From what was reckoned to what is to be expected, by trainings that were measured.

Two small models with no negative weights, fitted to relative errors: memory is weights of what
stays, of what a forward and what a backward pass holds, and a constant; time is operations over the
speed of products, bytes over the speed of copies, and a constant for each call. How far off they
were on the same trainings gives ``low`` and ``high``. The user's own dry runs then shift both by
their median ratio: few of them in part, many of them wholly.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pretune.training.estimate.records import Record
from pretune.training.estimate.speed import Speed

_FORWARD, _BACKWARD = frozenset({"activations", "logits", "masks"}), frozenset({"working space"})
"""Parts that a pass makes and drops; what holds them rounds and keeps some of it."""

_ROUNDS, _SMALL = 30, 0.02
"""Of fitting, and the relative error under which all count alike."""

_TRUST = 2
"""Own dry runs after which half of their shift is believed."""

_NEWEST = 20
"""Own dry runs that count: a machine changes."""

_TAIL = 0.05
"""Share of measured trainings on either side of the range."""


class Range(NamedTuple):
    """``expected``, with the range in which nine of ten measured trainings were."""

    low: float
    expected: float
    high: float

    def times(self, factor: float) -> "Range":
        """All three, so many times."""
        return Range(self.low * factor, self.expected * factor, self.high * factor)

    def plus(self, more: float) -> "Range":
        """All three, and so much."""
        return Range(self.low + more, self.expected + more, self.high + more)

    @property
    def gb(self) -> str:
        """In GB of 10^9 bytes, for people."""
        return f"{self.expected / 1e9:.2f} GB ({self.low / 1e9:.2f} to {self.high / 1e9:.2f})"


@dataclass(frozen=True, slots=True)
class Model:
    """Weights of the features, and the ratios of measured to expected that are usual."""

    weights: tuple[float, ...]
    low: float
    high: float
    shift: float = 1.0

    @classmethod
    def fitted(cls, rows: Sequence[Sequence[float]], found: Sequence[float]) -> Self:
        """Least absolute relative errors, no weight below zero, by reweighted least squares: one
        training that was disturbed must not bend all others."""
        from scipy.optimize import nnls

        scaled = np.asarray(rows) / np.asarray(found)[:, None]
        trust, weights = np.ones(len(found)), np.zeros(scaled.shape[1])
        for _ in range(_ROUNDS):
            weights, _ = nnls(scaled * trust[:, None], trust)
            trust = 1 / np.sqrt(np.maximum(np.abs(scaled @ weights - 1), _SMALL))
        ratios = np.asarray(found) / (np.asarray(rows) @ weights)
        low, high = np.quantile(ratios, (_TAIL, 1 - _TAIL))
        return cls(tuple(map(float, weights)), min(1.0, float(low)), max(1.0, float(high)))

    def shifted(self, ratios: Sequence[float]) -> "Model":
        """Believing the user's own ``ratios`` of measured to expected, the more the more there
        are."""
        some = [ratio for ratio in ratios if ratio > 0][-_NEWEST:]
        if not some:
            return self
        trust = len(some) / (len(some) + _TRUST)
        shift = math.exp(trust * median(math.log(ratio) for ratio in some))
        return replace(self, shift=shift)

    def times(self, factor: float) -> "Model":
        """The same, expecting ``factor`` times as much."""
        return replace(self, shift=self.shift * factor)

    def expects(self, row: Sequence[float]) -> float:
        """The value to be expected."""
        return self.shift * sum(w * x for w, x in zip(self.weights, row, strict=True))

    def range(self, expected: float) -> Range:
        """Around an expected value."""
        return Range(expected * self.low, expected, expected * self.high)


def memory_features(parts: Mapping[str, int]) -> tuple[float, ...]:
    """What stays, what forward and backward passes hold, and one; bytes."""
    forward = sum(size for part, size in parts.items() if part in _FORWARD)
    backward = sum(size for part, size in parts.items() if part in _BACKWARD)
    return float(sum(parts.values()) - forward - backward), float(forward), float(backward), 1.0


def time_features(flops: float, moved: float, calls: float, speed: Speed) -> tuple[float, ...]:
    """Seconds of all products, seconds of all bytes, and calls."""
    return flops / speed.flops, moved / speed.bytes, calls


@dataclass(frozen=True, slots=True)
class Calibration:
    """Both models, and how many measured trainings are behind them."""

    memory: Model
    time: Model
    shipped: int
    own: int

    @classmethod
    def of(cls, shipped: Sequence[Record], own: Sequence[Record], device: str) -> Self:
        """Fitted to ``shipped`` and shifted by those of ``own`` that ran on a ``device`` of this
        kind. Shipped ones are of processors; on others they say what to begin with."""
        memory, seconds = _fitted(shipped)
        kind = device.partition(":")[0]
        same = [one for one in own if one.measured.device.partition(":")[0] == kind]
        fits = [one for one in same if one.measured.fits]
        return cls(
            memory.shifted([one.measured.peak / peak_of(memory, one) for one in fits]),
            seconds.shifted([one.measured.step_seconds / step_of(seconds, one) for one in fits]),
            len(shipped),
            len(same),
        )

    def off_by(self, memory: float, time: float) -> "Calibration":
        """The same, expecting so many times as much of each."""
        return replace(self, memory=self.memory.times(memory), time=self.time.times(time))


def _fitted(shipped: Sequence[Record]) -> tuple[Model, Model]:
    highest = [max(one.phases.values(), key=lambda parts: sum(parts.values())) for one in shipped]
    memory = Model.fitted(
        [memory_features(parts) for parts in highest], [one.measured.peak for one in shipped]
    )
    seconds = Model.fitted(
        [_time_row(one) for one in shipped], [one.measured.step_seconds for one in shipped]
    )
    return memory, seconds


def peak_of(model: Model, record: Record) -> float:
    """Bytes that ``model`` expects of a record: those of its highest phase."""
    return max(model.expects(memory_features(parts)) for parts in record.phases.values())


def step_of(model: Model, record: Record) -> float:
    """Seconds that ``model`` expects of a record's step."""
    return model.expects(_time_row(record))


def _time_row(record: Record) -> tuple[float, ...]:
    speed = Speed(record.measured.speed, record.measured.bandwidth)
    return time_features(record.flops, record.moved, record.calls, speed)


def errors(records: Sequence[Record]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Relative errors of memory and of time, each of a training that was left out of the fit."""
    found: list[tuple[float, float]] = []
    for index, one in enumerate(records):
        memory, seconds = _fitted((*records[:index], *records[index + 1 :]))
        found.append(
            (
                peak_of(memory, one) / one.measured.peak - 1,
                step_of(seconds, one) / one.measured.step_seconds - 1,
            )
        )
    table = np.asarray(found)
    return table[:, 0], table[:, 1]
