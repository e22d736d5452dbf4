"""The plan of a run as a function of the share of its time that has passed."""

from __future__ import annotations

from dataclasses import dataclass

WARMUP = 0.01


@dataclass(frozen=True)
class Plan:
    """Shares of the wall budget, each in [0, 1]."""

    made_from: float = 0.15
    anneal_from: float = 0.62
    long_from: float = 0.88

    def rate(self, done: float) -> float:
        """Factor on every learning rate: warm-up, flat, then linear to zero."""
        if done < WARMUP:
            return max(done / WARMUP, 0.02)
        if done < self.anneal_from:
            return 1.0
        return max((1.0 - done) / (1.0 - self.anneal_from), 0.0)

    def phase(self, done: float) -> str:
        """Name of the data mixture in force."""
        if done < self.made_from:
            return "start"
        return "anneal" if done >= self.anneal_from else "main"

    def is_long(self, done: float) -> bool:
        """Whether windows have their full length yet."""
        return done >= self.long_from
