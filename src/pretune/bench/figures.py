"""Figures: what was measured, how far it spread, and what was promised."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Target(NamedTuple):
    """A promise about a figure."""

    bound: float
    at_most: bool

    def met(self, value: float) -> bool:
        """Whether ``value`` keeps it."""
        return value <= self.bound if self.at_most else value >= self.bound

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.bound:g}"


def _most(bound: float) -> Target:
    return Target(bound, at_most=True)


def _least(bound: float) -> Target:
    return Target(bound, at_most=False)


TARGETS: dict[str, Target] = {
    "decode_ratio_32_tasks": _most(1.01),
    "decode_ratio_1000_tasks": _most(1.01),
    "speedup_vs_peft_32": _least(10),
    "speedup_vs_vllm_lora_32": _least(2.4),
    "base_vs_vllm": _least(0.9),
    "step_vs_floor": _most(1.25),
    "prefill_ratio_32_tasks": _most(1.15),
    "document_ttft_gain": _least(6),
    "cold_p99_ttft_ratio": _most(1.3),
    "adapter_bytes_in_decode": _most(0),
    "http_overhead": _most(0.05),
}
"""By figure, in the order they are shown. What has no line here is told without a promise."""


@dataclass(frozen=True)
class Figure:
    """``value`` is the median over repeats, which lie from ``low`` to ``high``; ``None`` where
    ``reason`` says why it was not measured. ``details`` are the numbers it comes from."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the promise is kept; ``None`` where there is none, or no value."""
        target = TARGETS.get(self.name)
        return None if target is None or self.value is None else target.met(self.value)

    @classmethod
    def of(cls, name: str, values: Sequence[float], **details: Any) -> "Figure":
        """The figure of one value a repeat."""
        return cls(name, statistics.median(values), min(values), max(values), details=details)

    @classmethod
    def absent(cls, name: str, reason: str) -> "Figure":
        """What could not be measured, and why."""
        return cls(name, None, reason=reason)


def milliseconds(seconds: Sequence[float]) -> float:
    """The median in milliseconds, rounded for people."""
    return round(1000 * statistics.median(seconds), 2)
