"""Number plates of cars."""

import re

from pretune.data.privacy.found import PrivateType
from pretune.data.privacy.recognisers.pattern import (
    DIGITS,
    END,
    HAN,
    START,
    Pattern,
    cue,
    joined,
)

_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"


_ANY = re.compile(rf"{START}(?=[A-Z -]{{0,8}}\d)[A-Z0-9]{{1,4}}[ -]?[A-Z0-9]{{2,5}}{END}")
_PLATES = cue(
    r"(?:licen[cs]e|number|registration) plates?|plates?|registration|reg|licen[cs]e_plate|"
    r"车牌|车号|车辆号牌"
)
_CARS = cue(r"car|van|truck|lorry|vehicle|taxi|motorcycle|motorbike|bus|suv")


def _with_digits(text: str) -> str | None:
    number = joined(text)
    return number if sum(map(str.isdigit, number)) >= 2 else None


def _with_letters(text: str) -> str | None:
    return _with_digits(text) if any(map(str.isalpha, text)) else None


def _plate(text: str) -> str | None:
    """Two digits at least: fewer are rather a word."""
    number = joined(text)
    return number if sum(map(str.isdigit, number[1:])) >= 2 else None


RECOGNISERS = (
    Pattern(
        PrivateType.PLATE,  # GA 36-2018, cars with other drives included
        re.compile(
            rf"[{_PROVINCES}][ ]?[A-HJ-Z][ ·•.-]?[A-HJ-NP-Z0-9]{{4,5}}[A-HJ-NP-Z0-9挂学警港澳]{END}"
        ),
        0.95,
        _plate,
        needs=HAN,
    ),
    Pattern(
        PrivateType.PLATE,  # Great Britain since 2001
        re.compile(rf"{START}[A-HJ-PR-Y]{{2}}\d{{2}} ?[A-HJ-PR-Z]{{3}}{END}"),
        0.7,
        _plate,
        needs=DIGITS,
    ),
    Pattern(PrivateType.PLATE, _ANY, 0.75, _with_digits, _PLATES, DIGITS),
    Pattern(PrivateType.PLATE, _ANY, 0.65, _with_letters, _CARS, DIGITS),
)
