"""Names of people in Chinese text: a surname and one or two characters, beside a cue or alone.

Without a cue a name is taken only where its characters are common in names and what stands beside
it is no part of a longer word; docs/privacy.md says how many are missed.
"""

import re

from pretune.data.privacy.found import PrivateType
from pretune.data.privacy.recognisers.pattern import BETWEEN, Pattern, squeezed
from pretune.data.privacy.recognisers.wordlists import characters, words

_HAN = r"[\u4e00-\u9fff]"
_SURNAME = "(?:" + "|".join(sorted(words("surnames_zh"), key=lambda w: (-len(w), w))) + ")"
_GIVEN = "[" + "".join(sorted(characters("given_characters_zh"))) + "]"

_TITLES = (
    "先生|女士|小姐|太太|老师|医生|大夫|护士|律师|经理|总监|主任|主管|师傅|同学|同志|教授|博士|警官|法官|"
    "阿姨|叔叔|总裁|总经理|董事长|行长|会计|队长|部长|局长|处长|科长|校长|院长|书记|主席"
)
_NO_NAMES = "高级|项目|安全|常务|时任|曾任|兼任|和平|金融|任何|党组|党委|纪委|经济|文化|公安|司法"
"""What begins like a name before a title, and is none."""
_CUES = (
    "姓名|户名|名字|名叫|我叫|叫做|叫|联系人|[收付汇取]款人|[收寄]件人|持卡人|投保人|被?保险?人|受益人|借款人|担保人|"
    "申请人|经办人|签字|签名|法定代表人|法人|开户人|记者|客户|患者|员工|学生|业主|我是|本人"
)
_NEXT = (
    "的在于和与及跟同向给说称从对已是有要想被把将来去到让曾为也都就还刚正会能做当任之因出打购买申请提交反映投诉"
    "表示电手身证账帐户号邮住家地您你他她我先女小老,"
)
"""Characters that go on after a name."""
_ENDS = rf"(?=[^\u4e00-\u9fff]|$|[{_NEXT}]|{_TITLES})"


def _name(expression: str, certainty: float) -> Pattern:
    return Pattern(PrivateType.PERSON, re.compile(expression), certainty, squeezed)


RECOGNISERS = (
    _name(
        rf"(?P<value>(?!{_NO_NAMES}){_SURNAME}(?:{_GIVEN}{{1,2}}?)?)(?:{_TITLES})",
        0.85,
    ),
    _name(rf"(?:{_CUES}){BETWEEN}(?P<value>{_SURNAME}{_HAN}{{1,2}}?){_ENDS}", 0.8),
    _name(rf"(?:{_CUES}){BETWEEN}(?P<value>{_SURNAME}{_GIVEN}{{2}})", 0.75),
    _name(
        rf"(?:(?<!{_HAN})|(?<=[和与跟同给向找问请由对让被把是叫据及为]))"
        rf"(?P<value>{_SURNAME}{_GIVEN}{{1,2}}){_ENDS}",
        0.6,
    ),
    _name(rf"(?P<value>{_HAN}{{1,5}}(?:[·•]{_HAN}{{1,6}}){{1,3}})", 0.7),
)
