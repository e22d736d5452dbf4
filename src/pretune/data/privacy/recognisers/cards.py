"""Numbers of bank cards."""

import re
from collections.abc import Iterator

from stdnum import luhn

from pretune.data.privacy.found import Found, PrivateType
from pretune.data.privacy.recognisers.pattern import END, START, digits_of

_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})$|(?:5[1-5]|2[2-7])\d{14}$|3[47]\d{13}$|3(?:0[0-5]|[689]\d)\d{11}$|"
    r"62\d{14,17}$|6(?:011|[45]\d\d)\d{12,15}$|(?:5[06-8]|6\d)\d{10,17}$|35\d{14}$|"
    r"1800\d{11}$|2131\d{11}$|81\d{14,17}$"
)
"""First digits and lengths of the brands, UnionPay's included."""

_RUN = re.compile(rf"{START}\d(?:[ .-]?\d){{11,35}}{END}")
_GROUP = re.compile(r"\d+")
_SHORTEST, _LONGEST = 12, 19


class Cards:
    """A brand's first digits and length, and the checksum of Luhn (ISO/IEC 7812-1).

    The digits may stand in groups; what stands beside those of a number, such as the month in
    which the card ends, is not taken for a part of it.
    """

    def find(self, text: str) -> Iterator[Found]:
        """See :class:`pretune.data.privacy.found.Recogniser`."""
        for run in _RUN.finditer(text):
            groups = [match.span() for match in _GROUP.finditer(text, *run.span())]
            for first, (start, _) in enumerate(groups):
                length = 0
                for begin, end in groups[first:]:
                    length += end - begin
                    if length > _LONGEST:
                        break
                    if length < _SHORTEST:
                        continue
                    digits = digits_of(text[start:end])
                    if _ISSUERS.match(digits) and luhn.is_valid(digits):
                        yield Found(start, end, PrivateType.CARD, digits, 0.87)


RECOGNISERS = (Cards(),)
