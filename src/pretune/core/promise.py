"""A promise of differential privacy: what it says, and where an adapter states it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

UNIT = "one training row more or less"


@dataclass(frozen=True, slots=True)
class Promise:
    """``epsilon`` and ``delta`` hold for ``steps`` steps that draw each row with the probability
    ``sample_rate`` and add noise of ``noise`` times ``row_norm`` to the sum of gradients."""

    epsilon: float
    delta: float
    row_norm: float
    noise: float
    sample_rate: float
    steps: int
    accountant: str
    unit: str = UNIT

    @classmethod
    def of(cls, notes: Mapping[str, Any]) -> Self | None:
        """The promise in an adapter's notes or a run's record; ``None`` if it makes none."""
        said = notes.get("privacy")
        return said and cls(**{one.name: said[one.name] for one in fields(cls)})

    @staticmethod
    def together(promises: Sequence["Promise"]) -> str:
        """What several trainings on the same rows promise together: epsilons and deltas add up
        (Dwork and Roth 2014, theorem 3.16)."""
        epsilon, delta = (
            sum(getattr(one, name) for one in promises) for name in ("epsilon", "delta")
        )
        return _said(epsilon, delta)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{_said(self.epsilon, self.delta)}, for {self.unit}"


def _said(epsilon: float, delta: float) -> str:
    return f"epsilon {math.ceil(epsilon * 100) / 100:g}, delta {delta:g}"  # never less than it is
