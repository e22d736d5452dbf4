"""Goals: the promises of a task that are checked, such as ``macro_f1 >= 0.85``."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from pretune.spec.model import Strict
from pretune.spec.quantities import Quantity, percentile_of, quantity

Op = Literal[">=", "<=", ">", "<"]

_HOLDS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_NUMBER = r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?"
_GOAL = re.compile(
    rf"\s*(?P<metric>[A-Za-z][\w.]*)\s*(?P<op>>=|<=|>|<)\s*(?P<threshold>{_NUMBER})"
    rf"(?:\s+at\s+(?P<load>{_NUMBER})\s*rps)?"
    r"(?:\s+where\s+(?P<slice>\S.*?))?\s*"
)
_CONDITION = re.compile(r"\s*(?P<column>[^=]+?)\s*=\s*(?P<value>.+?)\s*")

EXAMPLES = '"macro_f1 >= 0.85", "p99_latency_ms < 500 at 20 rps", "accuracy > 0.9 where lang = zh"'
"""Goals as people write them."""


class Goal(Strict):
    """One goal; in a task file a string, or a mapping with what the string cannot say.

    In a string: a measured name, an operator, a number; then the load it holds at (``at 20 rps``),
    or the rows it is about (``where lang = zh``, several joined by ``and``).
    """

    metric: str = Field(description="a metric, or a measured quantity such as p99_latency_ms")
    op: Op = Field(description="how the measured value compares to the threshold")
    threshold: float = Field(
        allow_inf_nan=False, description="in the metric's own unit; shares lie between 0 and 1"
    )
    need: str | None = Field(
        None, min_length=1, description='the business need behind it, such as "find the clause"'
    )
    slice: dict[str, str] | None = Field(
        None, min_length=1, description="the rows it is about: columns and their values"
    )
    load: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="requests a second at which a latency holds"
    )
    price_per_hour: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="of the machine; what a cost is reckoned from"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            return _read(value)
        if not isinstance(value, Mapping) or "goal" not in value:
            return value
        rest = {key: item for key, item in value.items() if key != "goal"}
        said = _read(value["goal"])
        if twice := sorted(said.keys() & rest.keys()):
            raise ValueError(
                f'"{twice[0]}" stands beside the goal "{value["goal"]}" and in it; say it once'
            )
        return rest | said

    @field_validator("slice", mode="before")
    @classmethod
    def _values_as_text(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        for column, item in value.items():
            if item is None or isinstance(item, (bool, list, dict)):
                raise ValueError(
                    f'value "{item}" of column "{column}" was read by YAML as no text; put it in '
                    "quotes"
                )
        return {str(column): str(item) for column, item in value.items()}

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        known = quantity(self.metric)
        if self.load is not None and not (known and known.under_load):
            raise ValueError(
                f'"{self.metric}" does not depend on a load; leave out '
                f'"at {_number(self.load)} rps"'
            )
        if self.slice is not None and known is not None:
            raise ValueError(
                f'"{self.metric}" is measured of the whole task, not of some rows; leave out '
                f'"where {_conditions(self.slice)}"'
            )
        if known is not None and self.threshold <= 0:
            raise ValueError(
                f'goal "{self}" asks for {known.says} of "{_number(self.threshold)}"; give '
                f"a positive number ({known.unit})"
            )
        if (known is not None and known.priced) != (self.price_per_hour is not None):
            raise ValueError(
                f'"{self.metric}" needs "price_per_hour" of the machine beside it; write it like '
                f'{{goal: "{self}", price_per_hour: 2.5}}'
                if known is not None and known.priced
                else f'"price_per_hour" says nothing about "{self.metric}"; remove it'
            )
        return self

    @property
    def quantity(self) -> Quantity | None:
        """What it is measured as, if it is no metric of answers."""
        return quantity(self.metric)

    @property
    def measure(self) -> str:
        """The name under which results hold its value: metric, load and slice."""
        text = self.metric
        text += f" at {_number(self.load)} rps" if self.load is not None else ""
        return f"{text} where {_conditions(self.slice)}" if self.slice else text

    def holds(self, value: float) -> bool:
        """Whether a measured ``value`` meets the goal; NaN never does."""
        return _HOLDS[self.op](value, self.threshold)

    @property
    def rises(self) -> bool:
        """Whether more is better."""
        return self.op in (">=", ">")

    def __str__(self) -> str:
        text = f"{self.metric} {self.op} {_number(self.threshold)}"
        return text + self.measure.removeprefix(self.metric)

    def value(self) -> str | dict[str, Any]:
        """What a task file says: the string, or a mapping where that is not all."""
        more = {"need": self.need, "price_per_hour": self.price_per_hour}
        said: dict[str, Any] = {"goal": str(self)}
        if self.slice and _slice_or_none(_conditions(self.slice)) != self.slice:
            plain = self.model_copy(update={"slice": None})  # words that a string would misread
            said = {"goal": str(plain), "slice": self.slice}
        said |= {key: item for key, item in more.items() if item is not None}
        return said if len(said) > 1 else str(said["goal"])


def check_compatible(goals: Sequence[Goal]) -> None:
    """Raise ValueError where two of ``goals`` cannot both be met, naming them."""
    for index, one in enumerate(goals):
        for other in goals[:index]:
            if one.measure == other.measure and one.price_per_hour != other.price_per_hour:
                raise ValueError(
                    f'"{other}" is reckoned from "{other.price_per_hour:g}" an hour and "{one}" '
                    f'from "{one.price_per_hour:g}", of one machine; give them one price_per_hour'
                )
            if one.rises == other.rises:
                continue
            low, high = (one, other) if one.rises else (other, one)
            if _never_above(low, high) and (
                low.threshold > high.threshold
                or (low.threshold == high.threshold and low.op + high.op != ">=" + "<=")
            ):
                what = f'value of "{one.measure}"' if one.measure == other.measure else "times"
                verb = "meets" if one.measure == other.measure else "meet"
                raise ValueError(
                    f'no {what} {verb} both "{other}" and "{one}"; change or remove one of them'
                )


def _never_above(one: Goal, other: Goal) -> bool:
    """Whether what ``one`` measures cannot lie above what ``other`` does: the same, or a percentile
    and a higher one of the same times at the same load."""
    if one.measure == other.measure:
        return True
    lower, higher = percentile_of(one.metric), percentile_of(other.metric)
    if lower is None or higher is None or lower > higher:
        return False
    return one.quantity == other.quantity and one.load == other.load


def _number(value: float) -> str:
    """As short as it can be and still be read as the same number: a task's digest holds it."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _read(text: Any) -> dict[str, Any]:
    match = _GOAL.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(
            f'goal "{text}" is not a name, one of {", ".join(_HOLDS)}, and a number; '
            f"write it like {EXAMPLES}"
        )
    said = {key: value for key, value in match.groupdict().items() if value is not None}
    if "slice" in said:
        said["slice"] = _slice(said["slice"], text)
    return said


def _slice(text: str, goal: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in re.split(r"\s+and\s+", text):
        match = _CONDITION.fullmatch(part)
        if match is None or match["column"] in found:
            raise ValueError(
                f'"{part}" in goal "{goal}" is not one column = value; write it like '
                '"accuracy > 0.9 where lang = zh and channel = mail"'
            )
        found[match["column"]] = match["value"]
    return found


def _slice_or_none(text: str) -> dict[str, str] | None:
    try:
        return _slice(text, text)
    except ValueError:
        return None


def _conditions(slice_: Mapping[str, str]) -> str:
    return " and ".join(f"{column} = {value}" for column, value in slice_.items())
