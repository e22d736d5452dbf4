"""E-mail addresses, those written with "at" and "dot" in brackets or words too."""

import re

from pretune.data.privacy.found import PrivateType
from pretune.data.privacy.recognisers.pattern import END, START, Pattern

_LOCAL = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}"
_DOMAIN = r"(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}"
_AT = r"(?:[ ]?[\[({<]at[\])}>][ ]?| at )"
_DOT = r"(?:[ ]?[\[({<]dot[\])}>][ ]?| dot )"


def _mail(text: str) -> str:
    text = re.sub(_DOT, ".", re.sub(_AT, "@", text, flags=re.I), flags=re.I)
    return "".join(text.split()).casefold()


RECOGNISERS = (
    Pattern(
        PrivateType.EMAIL,
        re.compile(rf"{START}{_LOCAL}[ ]?@[ ]?{_DOMAIN}(?![A-Za-z0-9-])"),
        1.0,
        _mail,
        needs=re.compile("@"),
    ),
    Pattern(
        PrivateType.EMAIL,
        re.compile(
            rf"(?i){START}[a-z0-9._+-]{{1,64}}{_AT}[a-z0-9-]{{2,63}}"
            rf"(?:{_DOT}[a-z0-9-]{{2,63}}){{1,4}}{END}"
        ),
        0.9,
        _mail,
        needs=re.compile(_DOT, re.IGNORECASE),
    ),
)
