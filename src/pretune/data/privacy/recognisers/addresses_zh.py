"""Postal addresses as they are written in Chinese: found at their house number, read backwards.

An expression for the whole would try every way of cutting what stands before the number into
districts and streets; this looks once at a bounded piece.
"""

import re
from collections.abc import Iterator

from pretune.data.privacy.found import Found, PrivateType
from pretune.data.privacy.recognisers.pattern import HAN, squeezed

_WAYS = (
    r"(?:大道|大街|胡同|路|街|巷|弄|道|村|里|小区|花园|家园|大厦|广场|苑|公寓|新村|工业园|科技园|社区|庄|园|城|镇|乡)"
    r"[东南西北中]?(?:[一二三四五六七八九十0-9]{1,2}[段路])?"
)
_HOUSE = (
    r"(?:[第甲乙丙]?(?:[A-Za-z]?[0-9]{1,5}|[一二三四五六七八九十百]{1,4})(?:-[0-9]{1,4}){0,3}[A-Z]?"
    r"(?:号楼|号院|号|弄|栋|幢|座|单元|楼|层|室|房|组|队|户)|[A-Za-z]座)"
)
_NUMBER = re.compile(
    rf"{_HOUSE}(?:[ ,，]?[\u4e00-\u9fff]{{0,8}}?{_HOUSE}){{0,6}}"
    r"(?:[ ]?[0-9]{3,4}室?(?![0-9]))?(?:[ ]?\(?[0-9]{6}\)?(?![0-9]))?"
)
_BEFORE = re.compile(r"[\u4e00-\u9fffA-Za-z0-9]{1,40}[ ]?$")
_WAY_BEFORE = re.compile(_WAYS + r"[ ]?$")
_PROVINCE = re.compile(
    r"(?:北京|天津|上海|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|"
    r"广东|海南|四川|贵州|云南|陕西|甘肃|青海|台湾|内蒙古|广西|西藏|宁夏|新疆|香港|澳门)"
    r"(?![东南西北中]?[路街])"
)
_PART = re.compile(rf"[省市区县旗州盟]|街道|{_WAYS}")
_LEADS_IN = re.compile(r"[在到于往址是为至住寄送给从:]")
_LONGEST_NAME = 8


class ChineseAddresses:
    """A house number after a street or a quarter, and the districts before those."""

    def find(self, text: str) -> Iterator[Found]:
        """See :class:`pretune.data.privacy.found.Recogniser`."""
        if not HAN.search(text):
            return
        for number in _NUMBER.finditer(text):
            before = _BEFORE.search(text, max(0, number.start() - 40), number.start())
            if before is None or not _WAY_BEFORE.search(before[0]):
                continue
            start = before.start() + _begin(before[0])
            whole = text[start : number.end()]
            yield Found(start, number.end(), PrivateType.ADDRESS, squeezed(whole), 0.8)


def _begin(text: str) -> int:
    """Where the address begins in ``text``, which ends with its street."""
    provinces = list(_PROVINCE.finditer(text))
    if provinces:
        start = len(text)
        for province in reversed(provinces):
            if _LEADS_IN.search(text, province.end(), start):
                break
            start = province.start()
        return start
    part = _PART.search(text, 1)
    name_end = part.start() if part else len(text)
    leads = list(_LEADS_IN.finditer(text, 0, name_end))
    if leads and leads[-1].end() < name_end:
        return leads[-1].end()
    return max(0, name_end - _LONGEST_NAME)


RECOGNISERS = (ChineseAddresses(),)
