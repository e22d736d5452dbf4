"""Clause patterns with `{slots}` that are filled from word lists, by polarity and domain."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

POSITIVE, NEGATIVE, NEUTRAL, MIXED = "+", "-", "=", "~"
OPPOSITE = {POSITIVE: NEGATIVE, NEGATIVE: POSITIVE, NEUTRAL: NEUTRAL}
SLOT = re.compile(r"\{([^}]+)\}")


def fill(pattern: str, value: Callable[[str], str]) -> str:
    """Replace every `{slot}` of a pattern by `value(slot)`, left to right."""
    return SLOT.sub(lambda found: value(found[1]), pattern)


def articles(text: str) -> str:
    """Write `an` where `a` stands before a vowel."""
    return re.sub(r"\b([Aa]) (?=[aeiouAEIOU])", r"\1n ", text)


def draw_poles(rng: random.Random, poles: str, count: int) -> list[str]:
    """`count` polarities out of `poles`."""
    return [rng.choice(poles) for _ in range(count)]
