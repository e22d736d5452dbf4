"""Names of people in Chinese text: a surname and one or two characters, beside a cue or alone.

Without a cue a name is taken only where its characters are common in names and what stands beside
it is no part of a longer word; docs/privacy.md says how many are missed.
"""

import re
from collections.abc import Collection

from pretune.data.privacy.found import PrivateType
from pretune.data.privacy.recognisers.pattern import BETWEEN, HAN, Pattern
from pretune.data.privacy.recognisers.wordlists import characters, words

_HAN = r"[\u4e00-\u9fff]"


def _one_of(names: Collection[str]) -> str:
    """The longer first; single characters as a class, which is quick."""
    double = sorted(name for name in names if len(name) > 1)
    return f"(?:{'|'.join(double)}|[{''.join(sorted(set(names) - set(double)))}])"


_SURE = _one_of(words("surnames_zh"))
_SURNAME = _one_of(words("surnames_zh") | words("surnames_and_words_zh"))
_GIVEN = f"[{''.join(sorted(characters('given_characters_zh')))}]"
_FOREIGN = f"[{''.join(sorted(characters('foreign_characters_zh')))}]"

_POLITE = "先生|女士|小姐|太太|老师|医生|大夫|律师|经理|师傅|同志|教授|阿姨|叔叔"
_OFFICES = (
    "护士|总监|主任|主管|同学|博士|警官|法官|总裁|总经理|董事长|行长|会计|队长|部长|局长|处长|科长|校长|院长|"
    "书记|主席|总理|总统|首相|大使|选手|教练|记者"
)
_TITLES = f"{_POLITE}|{_OFFICES}"
_NO_NAMES = (
    rf"(?={_SURNAME})(?!{_SURNAME}(?:{_TITLES})|高级|项目|安全|常务|时任|曾任|兼任|和平|金融|任何|党组|党委|纪委|经济|文化|公安|司法|全国|华南|江南|"
    "东方|成立|广东|广州|应用|关心|乐观|黄河|常常|高潮|韩国|韩元|韩方|韩军|沈阳|石化|代表|管理|江浙|李子|"
    "梁上|汪洋|陈旧|陈述|许可|许多|孙子|吴江|唐代|宋代|宋朝|秦朝|唐朝|范例|范围|任务|任何|罗列|周期|周年|周边|"
    "华社|周末|周一|周二|周三|周四|周五|周六|周日|王国|王子|林业|朱红|魏晋|杨树|胡同|曹操)"
)
"""What begins like a name, and is none."""
_CUES = (
    "姓名|户名|名字|名叫|我叫|叫做|叫|联系人|[收付汇取]款人|[收寄]件人|持卡人|投保人|被?保险?人|受益人|借款人|担保人|"
    "申请人|经办人|签字|签名|法定代表人|法人|开户人|记者|客户|患者|员工|学生|业主|我是|本人"
)
_WEAK_CUES = (
    "[和与跟同给向找问请由对让被把是据及为]|[昨今前]天|刚才|上周|转告|告诉|通知|联系|同事|经理|主任|主管|专员|"
    "顾问|柜员|律师|医生|老师|教练|教授|主席|总理|总统|部长|局长|书记|院长|校长|作者|演员|选手|队员|队长"
)
_NEXT = (
    "的在于和与及跟同向给说称从对已是有要想被把将来去到让曾为也都就还刚正会能做当任之因出打购买申请提交反映投诉"
    "表示电手身证账帐户号邮住家地您你他她我先女小老一态今昨"
)
"""Characters that go on after a name."""
_ENDS = rf"(?=[^\u4e00-\u9fff]|$|[{_NEXT}]|{_TITLES})"


def _name(expression: str, certainty: float) -> Pattern:
    return Pattern(PrivateType.PERSON, re.compile(expression), certainty, needs=HAN)


_AFTER_CUE = f"(?:{_CUES}){BETWEEN}"
_LEFT = f"(?:(?<!{_HAN})|{_WEAK_CUES})"

RECOGNISERS = (
    _name(f"(?P<value>{_NO_NAMES}{_SURNAME}{_GIVEN}{{1,2}}?)(?:{_TITLES})", 0.85),
    _name(f"{_LEFT}(?P<value>{_NO_NAMES}{_SURE}{_HAN}{{1,2}}?)(?:{_TITLES})", 0.8),
    _name(f"{_LEFT}(?P<value>{_SURNAME})(?:{_POLITE})", 0.8),
    _name(f"{_AFTER_CUE}(?P<value>{_NO_NAMES}{_SURNAME}{_HAN}{{1,2}}?){_ENDS}", 0.8),
    _name(f"{_AFTER_CUE}(?P<value>{_NO_NAMES}{_SURNAME}{_GIVEN}{{2}})", 0.75),
    _name(f"(?:{_OFFICES})(?P<value>{_NO_NAMES}{_SURE}{_HAN}{{1,2}}?){_ENDS}", 0.65),
    _name(f"{_LEFT}(?P<value>{_NO_NAMES}{_SURE}{_GIVEN}{{1,2}}){_ENDS}", 0.6),
    _name(f"{_LEFT}(?P<value>{_NO_NAMES}{_SURE}{_GIVEN}(?![{_NEXT}]){_GIVEN})", 0.55),
    _name(f"(?:{_WEAK_CUES})(?P<value>{_NO_NAMES}{_SURNAME}{_GIVEN}{{1,2}}){_ENDS}", 0.55),
    _name(f"(?P<value>{_FOREIGN}{{1,6}}(?:[·•]{_FOREIGN}{{1,7}}){{1,3}})", 0.8),
    _name(f"(?:{_OFFICES})(?P<value>{_FOREIGN}{{2,6}}){_ENDS}", 0.55),
)
