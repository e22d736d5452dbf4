"""Numbers that a state gives a person: resident's numbers, social security, passports."""

import re

from stdnum.cn import ric
from stdnum.exceptions import ValidationError
from stdnum.us import ssn

from pretune.data.privacy.found import PrivateType
from pretune.data.privacy.recognisers.pattern import (
    DIGITS,
    END,
    START,
    Check,
    Pattern,
    cue,
    joined,
)


def _resident(text: str) -> str | None:
    """The checksum of GB 11643-1999, and a date that exists."""
    number = joined(text)
    try:
        ric.get_birth_date(number)
    except ValidationError:
        return None
    return number if ric.calc_check_digit(number) == number[-1] else None


def _social(text: str) -> str | None:
    return joined(text) if ssn.is_valid(text) else None


def _with_digits(text: str) -> str | None:
    number = joined(text)
    return number if sum(map(str.isdigit, number)) >= 5 else None


def _id(
    expression: str, certainty: float, check: Check = joined, cues: str | None = None
) -> Pattern:
    whole = re.compile(f"{START}{expression}{END}")
    return Pattern(PrivateType.ID, whole, certainty, check, cue(cues) if cues else None, DIGITS)


RECOGNISERS = (
    _id(r"(?:\d[ .-]?){17}[\dXx]", 0.99, _resident),
    _id(
        r"(?:\d[ -]?){14,17}[\dXx]",  # mistyped, or of 15 digits, as given out until 1999
        0.88,
        cues=r"身份证件?|证件|公民身份|id|id card|id_card|identity(?: card)?|national id",
    ),
    _id(r"\d{3}-\d{2}-\d{4}", 0.85, _social),
    _id(r"[A-CEGHJ-PR-TW-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D]", 0.85),  # British national insurance
    _id(
        r"(?:[A-Z]{1,3} ?)?\d(?:[ -]?\d|[A-Za-z]){4,17}(?: [A-Z])?",
        0.8,
        _with_digits,
        r"passport|driv(?:er'?s?|ing) licen[cs]e|social security|ssn|national insurance|"
        r"护照|通行证|驾驶证|驾照|军官证|社保卡?|医保卡?",
    ),
)
