"""Numbers and names of accounts."""

import re
from collections.abc import Iterator
from functools import cache

from stdnum import iban, numdb
from stdnum.us import rtn

from pretune.data.privacy.found import Found, PrivateType
from pretune.data.privacy.recognisers.pattern import (
    DIGITS,
    END,
    START,
    Pattern,
    cue,
    joined,
)

_NUMBER_CUES = cue(
    r"accounts?|account_(?:number|no|id)|acct\.?|a/c|"
    r"(?:customer|client|member(?:ship)?|policy|loan|card|credit card|"
    r"debit card|account|patient|employee)(?:[ _]?(?:id|no\.?|number|ref(?:erence)?))?|sort code|"
    r"(?:银行|收款|付款|对公|还款)?(?:账|帐)[号户]|(?:银行|信用|储蓄|借记)?卡|户|客户|保单|会员|合同|"
    r"合同编|贷款(?:合同)?(?:编)?|社保|工|学|公积金账?"
)
_NAME_CUES = cue(
    r"user ?names?|user_name|user id|login|wechat|telegram|skype|qq|微信|支付宝(?:账号?)?|用户名|"
    r"登录名|抖音"
)


def _routing(text: str) -> str | None:
    return text if rtn.is_valid(text) else None


def _number(text: str) -> str | None:
    number = joined(text)
    return number if sum(map(str.isdigit, number)) >= 5 else None


def _name(text: str) -> str | None:
    return text if any(map(str.isdigit, text)) or "_" in text else None


_IBAN = re.compile(rf"{START}(?=[A-Za-z]{{2}}\d{{2}}(?:[ -]?[A-Za-z0-9]){{11}})")
_GROUP = re.compile(rf"[ -]?[A-Za-z0-9]{{1,34}}{END}")


class Ibans:
    """The checksum of ISO 13616 and the country's own format.

    That says how long a number is: what stands beside it, such as the bank's code or an amount, may
    look like one more group.
    """

    def find(self, text: str) -> Iterator[Found]:
        """See :class:`pretune.data.privacy.found.Recogniser`."""
        if not DIGITS.search(text):
            return
        for head in _IBAN.finditer(text):
            start = end = head.start()
            length = _length_of(text[start : start + 2].upper())
            number = ""
            while len(number) < length and (group := _GROUP.match(text, end)):
                end = group.end()
                number = joined(text[start:end])
            if number and len(number) == length and iban.is_valid(number, check_country=False):
                yield Found(start, end, PrivateType.ACCOUNT, number, 0.98)


@cache
def _length_of(country: str) -> int:
    """Characters of an IBAN of ``country``; 0 where it has none."""
    ((_, known),) = numdb.get("iban").info(country)
    return 4 + sum(map(int, re.findall(r"\d+", known["bban"]))) if known else 0


RECOGNISERS = (
    Ibans(),
    Pattern(
        PrivateType.ACCOUNT,
        re.compile(rf"{START}\d{{9}}{END}"),
        0.87,
        _routing,
        cue("routing|aba|routing_number|rtn"),
        DIGITS,
    ),
    Pattern(
        PrivateType.ACCOUNT,
        re.compile(rf"{START}(?:[A-Z]{{1,6}}-?)?\d(?:-?[A-Z0-9]|[ ]\d{{3}}){{3,30}}{END}"),
        0.86,
        _number,
        _NUMBER_CUES,
        DIGITS,
    ),
    Pattern(
        PrivateType.ACCOUNT,
        re.compile(rf"{START}[A-Za-z0-9][A-Za-z0-9_.-]{{3,30}}{END}"),
        0.7,
        _name,
        _NAME_CUES,
    ),
)
