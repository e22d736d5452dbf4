"""Numbers, dates and codes: drawn, and written in their forms."""

import datetime
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from random import Random
from typing import NamedTuple

from pretune.spec.expression import Operand
from pretune.spec.phrase import Slot, parse_phrase
from pretune.spec.rules import DateSpec, NumberSpec

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
"""Without I, O and Q, which look like digits."""


class Written(NamedTuple):
    """How a number or date was written, so that another can be written alike."""

    spec: NumberSpec | DateSpec
    form: str


Mark = tuple[str, int, int]
"""A name, and where its value begins and ends in a text."""


class Value(NamedTuple):
    """A drawn value: its ``text``, what expressions see of it, its form, and the values in it."""

    text: str
    operand: Operand
    written: Written | None = None
    marks: tuple[Mark, ...] = ()


def plain_text(text: str, marks: Sequence[Mark] = ()) -> Value:
    """A text; one that reads as a number counts as that number in expressions."""
    stripped = text.strip()
    if stripped and stripped.isascii() and stripped.replace(".", "", 1).lstrip("-").isdigit():
        return Value(text, Decimal(stripped), marks=tuple(marks))
    return Value(text, text, marks=tuple(marks))


def draw_number(spec: NumberSpec, rng: Random) -> Value:
    """A number of ``spec``'s range, in one of its forms."""
    steps = int((spec.to - spec.start) / spec.step)
    number = spec.start + rng.randint(0, steps) * spec.step
    return write(number, Written(spec, rng.choice(spec.forms)))


def draw_date(spec: DateSpec, rng: Random) -> Value:
    """A day of ``spec``'s range, in one of its forms."""
    day = rng.randint(spec.start.toordinal(), spec.to.toordinal())
    return write(Decimal(day), Written(spec, rng.choice(spec.forms)))


def draw_code(pattern: str, rng: Random) -> Value:
    """A reference such as ``AB-1234`` for the pattern ``AA-9999``."""
    drawn = {"9": lambda: rng.choice("0123456789"), "A": lambda: rng.choice(_LETTERS)}
    text = "".join(drawn[c]() if c in drawn else c for c in pattern)
    return Value(text, text)


def write(number: Decimal, like: Written) -> Value:
    """``number`` in the form of another; a number is rounded to that one's step, half up.

    Raises:
        ValueError: a day that no calendar has.
    """
    if isinstance(like.spec, DateSpec):
        whole = number.to_integral_value(ROUND_HALF_UP)
        try:
            day = datetime.date.fromordinal(int(whole))
        except OverflowError as error:
            raise ValueError(f'day "{whole}" is in no calendar') from error
        return Value(_write_date(day, like.form), whole, like)
    places = max(0, -int(like.spec.step.normalize().as_tuple().exponent))
    rounded = number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    text = like.form.replace("{,}", f"{rounded:,}").replace("{}", f"{rounded}")
    return Value(text, rounded, like)


def _write_date(day: datetime.date, form: str) -> str:
    month = _MONTHS[day.month - 1]
    parts = {
        "d": str(day.day),
        "dd": f"{day.day:02}",
        "m": str(day.month),
        "mm": f"{day.month:02}",
        "month": month,
        "mon": month[:3],
        "yy": f"{day.year % 100:02}",
        "yyyy": f"{day.year:04}",
        "weekday": _WEEKDAYS[day.weekday()],
    }
    return "".join(
        parts[part.name] if isinstance(part, Slot) else str(part[0]) for part in parse_phrase(form)
    )
