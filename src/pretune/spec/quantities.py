"""Quantities that goals may speak of beside metrics of answers: time, memory, size, cost."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quantity:
    """``pattern`` is matched by its names, ``form`` shows them; ``unit`` is what thresholds are in.

    ``under_load``: it may be told at a number of requests a second. ``priced``: it needs the price
    of the machine.
    """

    form: str
    pattern: str
    unit: str
    says: str
    under_load: bool = False
    priced: bool = False


QUANTITIES = (
    Quantity(
        "p99_latency_ms",
        r"p(?P<percentile>\d{1,2}(?:\.\d+)?)_latency_ms",
        "milliseconds, any percentile below 100",
        "the time to a whole answer",
        under_load=True,
    ),
    Quantity(
        "p99_ttft_ms",
        r"p(?P<percentile>\d{1,2}(?:\.\d+)?)_ttft_ms",
        "milliseconds, any percentile below 100",
        "the time to the first token",
        under_load=True,
    ),
    Quantity("train_memory_gb", "train_memory_gb", "GB of 10^9 bytes", "the peak of training"),
    Quantity("train_hours", "train_hours", "hours", "the time of training"),
    Quantity("serve_memory_gb", "serve_memory_gb", "GB of 10^9 bytes", "the peak of serving"),
    Quantity("adapter_mb", "adapter_mb", "MB of 10^6 bytes", "the adapter's size"),
    Quantity(
        "cost_per_1000",
        "cost_per_1000",
        "money for 1,000 answers, in the price's currency",
        "what answers cost",
        under_load=True,
        priced=True,
    ),
)
"""All of them."""


def quantity(name: str) -> Quantity | None:
    """The quantity called ``name``; ``None`` for what is none, such as a metric."""
    return next((one for one in QUANTITIES if re.fullmatch(one.pattern, name)), None)


def percentile_of(name: str) -> float | None:
    """The percentile that ``name`` speaks of, if it speaks of one: 99 for ``p99_latency_ms``."""
    for one in QUANTITIES:
        match = re.fullmatch(one.pattern, name)
        if match and "percentile" in match.re.groupindex:
            return float(match["percentile"])
    return None
