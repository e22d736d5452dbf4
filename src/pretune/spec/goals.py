"""Goals: the promises of a task that are checked, such as ``macro_f1 >= 0.85``."""

import operator
import re
from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field, model_validator

from pretune.spec.model import Strict

Op = Literal[">=", "<=", ">", "<"]

_HOLDS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_GOAL = re.compile(r"\s*([A-Za-z]\w*)\s*(>=|<=|>|<)\s*([-+]?\d*\.?\d+(?:[eE][-+]?\d+)?)\s*")


class Goal(Strict):
    """One goal; in a task file a string: a measured name, an operator, a number."""

    metric: str = Field(description="a metric, or a measured quantity such as p99_latency_ms")
    op: Op = Field(description="how the measured value compares to the threshold")
    threshold: float = Field(description="in the metric's own unit; shares lie between 0 and 1")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        match = _GOAL.fullmatch(value)
        if match is None:
            raise ValueError(
                f'goal "{value}" is not a name, one of {", ".join(_HOLDS)}, and a number; '
                'write it like "macro_f1 >= 0.85"'
            )
        metric, op, threshold = match.groups()
        return {"metric": metric, "op": op, "threshold": threshold}

    def holds(self, value: float) -> bool:
        """Whether a measured ``value`` meets the goal; NaN never does."""
        return _HOLDS[self.op](value, self.threshold)

    def __str__(self) -> str:
        return f"{self.metric} {self.op} {self.threshold:g}"
