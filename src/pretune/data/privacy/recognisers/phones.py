"""Phone numbers, by the numbering plans in ``phonenumbers``."""

import re

import phonenumbers

from pretune.data.privacy.found import PrivateType
from pretune.data.privacy.recognisers.pattern import (
    DIGITS,
    END,
    START,
    Check,
    Pattern,
    cue,
    digits_of,
)

_MORE = r"(?:[ \-.()/]{0,2}\d)"
_EXTENSION = r"(?:[ ,，]{0,2}(?:x|ext\.?|extension|转|分机)[ :]?\d{1,6})?"
_NO_EXTENSION = re.compile(r"[ ,，]*(?:x|ext\.?|extension|转|分机)[ :]?")
_WHOLE = phonenumbers.ValidationResult.IS_POSSIBLE
_CUES = cue(
    r"tel|telephone|phones?|mobile|cell|cellphone|call|fax|whatsapp|contact|"
    r"reach(?:ed|able)?(?: me)? (?:at|on)|"
    r"(?:my|his|her|our|their|your) (?:new )?number|"
    r"text(?: me)?(?: at| on)?|ring|dial|"
    r"(?:call|ring|phone) (?:me|us|him|her|them)(?: back)?(?: at| on)?|"
    r"phone_number|hotline|联系电话|电话号码?|电话|手机号码?|手机|座机|传真|致电|拨打|来电|热线|"
    r"联系方式|回电|打给我"
)


def phone_value(text: str, region: str | None, *, exact: bool = True) -> str | None:
    """The number as E.164, if ``text`` is one as dialled in ``region``; ``exact``: one that is
    given out there, not just of the right length."""
    digits, _, extension = _NO_EXTENSION.sub("x", text, count=1).partition("x")
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return None
    if exact:
        fits = phonenumbers.is_valid_number(number)
    else:
        fits = phonenumbers.is_possible_number_with_reason(number) == _WHOLE
    if not fits:
        return None
    dialled = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return f"{dialled}x{extension}" if extension else dialled


def _abroad(text: str) -> str | None:
    return phone_value(f"+{text[2:]}" if text.startswith("00") else text, None, exact=False)


def _dialled(region: str | None, *, exact: bool = True) -> Check:
    return lambda text: phone_value(text, region, exact=exact)


def _told(text: str) -> str | None:
    """What stands after a cue is believed; the region is guessed for the spelling only."""
    digits = digits_of(text)
    if not 6 <= len(digits) <= 15:
        return None
    regions = ("CN", "GB", "US") if digits[0] in "01" else ("US", "CN", "GB")
    guesses = (phone_value(text, region) for region in regions)
    return next((guess for guess in guesses if guess), digits)


def _phone(expression: str, certainty: float, check: Check) -> Pattern:
    whole = re.compile(f"{START}{expression}{_EXTENSION}{END}")
    return Pattern(PrivateType.PHONE, whole, certainty, check, needs=DIGITS)


RECOGNISERS = (
    _phone(rf"(?:\+|00)[1-9]\d{{0,2}}{_MORE}{{6,12}}", 0.95, _abroad),
    _phone(r"(?:86[ -]?)?1[ -]?[3-9](?:[ -]?\d){9}", 0.9, _dialled("CN")),
    _phone(r"\(?0\d{2,3}(?:\)[ ]?|[ -])\d{3,4}[ -]?\d{4}", 0.85, _dialled("CN", exact=False)),
    _phone(r"0\d{10,11}", 0.7, _dialled("CN")),
    _phone(
        r"(?:1[ .-])?(?:\([2-9]\d{2}\)[ ]?|[2-9]\d{2}[.-])[2-9]\d{2}[ .-]\d{4}",
        0.9,
        _dialled("US", exact=False),
    ),
    _phone(
        r"\(?0(?:\d[ ]?){2,4}(?:\)[ ]?|[ -])\d{3,4}[ -]?\d{3,4}", 0.85, _dialled("GB", exact=False)
    ),
    Pattern(
        PrivateType.PHONE,
        re.compile(rf"{START}\+?\(?\d{_MORE}{{5,14}}{_EXTENSION}{END}"),
        0.8,
        _told,
        _CUES,
        DIGITS,
    ),
)
