"""Quantities that goals may speak of beside metrics of answers: time, memory, size, cost, and
what the gate probes."""

import re
from dataclasses import dataclass

SHARE = "share of 1"
"""Unit of what lies between 0 and 1, or as a loss between -1 and 1."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """``pattern`` is matched by its names, ``form`` shows them; ``unit`` is what thresholds are in.

    ``under_load``: it may be told at a number of requests a second. ``priced``: it needs the price
    of the machine. ``of_answers``: it is made of answers to rows or probes, which the gate asks.
    """

    form: str
    pattern: str
    unit: str
    says: str
    under_load: bool = False
    priced: bool = False
    of_answers: bool = False


_PERCENTILE = r"p(?P<percentile>(?!0+(?:\.0+)?_)\d{1,2}(?:\.\d+)?)"

QUANTITIES = (
    Quantity(
        "p99_latency_ms",
        _PERCENTILE + r"_latency_ms",
        "milliseconds, any percentile above 0 and below 100",
        "the time to a whole answer",
        under_load=True,
    ),
    Quantity(
        "p99_ttft_ms",
        _PERCENTILE + r"_ttft_ms",
        "milliseconds, any percentile above 0 and below 100",
        "the time to the first token",
        under_load=True,
    ),
    Quantity("train_memory_gb", "train_memory_gb", "GB of 10^9 bytes", "the peak of training"),
    Quantity("train_hours", "train_hours", "hours", "the time of training, measurements included"),
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
    Quantity("ece", "ece", SHARE, "the expected calibration error", of_answers=True),
    *(
        Quantity(f"{name}_drop", f"{name}_drop", SHARE, says, of_answers=True)
        for name, says in (
            ("typos", "what the first metric loses to typing mistakes"),
            ("option_order", "what it loses where the prompt lists the labels in another order"),
            ("template", "what it loses to a paraphrased instruction"),
            ("context", "what it loses to text that has nothing to do with the question"),
        )
    ),
    Quantity(
        "perplexity_ratio",
        "perplexity_ratio",
        "ratio to the base",
        "the perplexity of general text after the adapter's prompts",
        of_answers=True,
    ),
    Quantity("safety_share", "safety_share", SHARE, "safety probes held", of_answers=True),
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
