"""Each type in its usual and unusual spellings, and what only looks like it."""

import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretune.core.errors import MissingExtra
from pretune.data.privacy.detector import Detector
from pretune.data.privacy.folding import fold
from pretune.data.privacy.found import PrivateType
from pretune.data.privacy.recognisers import RECOGNISERS
from pretune.data.privacy.recognisers.presidio import Presidio, load_presidio

DETECTOR = Detector()

# Checksums worked out by hand or taken from the standards' own examples: 4111... is Visa's test
# number, 11010519491231002X the example of GB 11643-1999, GB82 WEST ... and DE89 ... those of
# ISO 13616.
FOUND = [
    ("EMAIL", "write to <jo.b+x@mail.example.co.uk>, please", "jo.b+x@mail.example.co.uk"),
    ("EMAIL", "请发到zhang_wei@example.com谢谢", "zhang_wei@example.com"),
    ("EMAIL", "jo [at] example [dot] com", "jo [at] example [dot] com"),
    ("EMAIL", "jo at example dot com", "jo at example dot com"),
    ("PHONE", "打13800138000找我", "13800138000"),
    ("PHONE", "1-3-8-0-0-1-3-8-0-0-0", "1-3-8-0-0-1-3-8-0-0-0"),
    ("PHONE", "010-62551234转802。", "010-62551234转802"),
    ("PHONE", "it is +44 20 7946 0958 ext. 12", "+44 20 7946 0958 ext. 12"),
    ("PHONE", "0044 20 7946 0958", "0044 20 7946 0958"),
    ("PHONE", "(415) 555-0132", "(415) 555-0132"),
    ("PHONE", "call me back on 4155550132", "4155550132"),
    ("CARD", "4111 1111 1111 1111 12/27", "4111 1111 1111 1111"),
    ("CARD", "ab 12 4111-1111-1111-1111", "4111-1111-1111-1111"),
    ("CARD", "银行卡6222021234567890128", "6222021234567890128"),
    ("CARD", "378282246310005", "378282246310005"),
    ("ID", "身份证11010519491231002X。", "11010519491231002X"),
    ("ID", "110105 19491231 002x", "110105 19491231 002x"),
    ("ID", "身份证号：110105491231002", "110105491231002"),
    ("ID", "SSN 536-90-4399", "536-90-4399"),
    ("ID", "passport no. K1234567", "K1234567"),
    ("ID", "AB 12 34 56 C", "AB 12 34 56 C"),
    ("PLATE", "京A·12345停在这里", "京A·12345"),
    ("PLATE", "沪AD12345", "沪AD12345"),
    ("PLATE", "license plate 7ABC123", "7ABC123"),
    ("PLATE", "AB12 CDE", "AB12 CDE"),
    ("ACCOUNT", "GB82 WEST 1234 5698 7654 32", "GB82 WEST 1234 5698 7654 32"),
    ("ACCOUNT", "GB82 WEST 1234 5698 7654 32 GBP", "GB82 WEST 1234 5698 7654 32"),
    ("ACCOUNT", "DE89370400440532013000 BIC COBADEFFXXX", "DE89370400440532013000"),
    ("ACCOUNT", "DE89 3704 0044 0532 0130 00 EUR 100", "DE89 3704 0044 0532 0130 00"),
    ("ACCOUNT", "AT61 DE89 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130 00"),
    ("ACCOUNT", "to de89-3704-0044-0532-0130-00 today", "de89-3704-0044-0532-0130-00"),
    ("ACCOUNT", '"account_number": "0012345678"', "0012345678"),
    ("ACCOUNT", "routing number 021000021", "021000021"),
    ("ACCOUNT", "我的微信号是wei_zhang88", "wei_zhang88"),
    ("ACCOUNT", "账号（尾号见附件）：6222 0200 0000 0000 123", "6222 0200 0000 0000 123"),
    ("SECRET", "the password is hunter2.", "hunter2"),
    ("SECRET", "密码：Abc,123!，请保密", "Abc,123!"),
    ("SECRET", "key AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    ("SECRET", "postgres://app:s3cr3t@db:5432/x", "s3cr3t"),
    ("SECRET", "Authorization: Bearer abcDEF123456_xyz", "abcDEF123456_xyz"),
    ("SECRET", "wJalrXUtnFEMI7K7MDENGbPxRfiCYKEY", "wJalrXUtnFEMI7K7MDENGbPxRfiCYKEY"),
    ("ADDRESS", "at 12 High Street, London SW1A 1AA now", "12 High Street, London SW1A 1AA"),
    ("ADDRESS", "1915 Eric Ramp Apt. 6, Sara, GU 47495", "1915 Eric Ramp Apt. 6, Sara, GU 47495"),
    ("ADDRESS", "P.O. Box 221, Dayton, OH 45402", "P.O. Box 221, Dayton, OH 45402"),
    ("ADDRESS", "我住在上海市浦东新区世纪大道1号5栋2室，", "上海市浦东新区世纪大道1号5栋2室"),
    ("ADDRESS", "请寄到和平区为民路5号", "和平区为民路5号"),
    ("PERSON", "my name is John Smith.", "John Smith"),
    ("PERSON", "my name is john smith", "john smith"),
    ("PERSON", "Dr. O'Neill saw me", "O'Neill"),
    ("PERSON", "Mary Jones's dog", "Mary Jones"),
    ("PERSON", "beneficiary: Xiomara Quispe", "Xiomara Quispe"),
    ("PERSON", "JOHN SMITH paid", "JOHN SMITH"),
    ("PERSON", "Pay John Smith today", "John Smith"),
    ("PERSON", "请联系张先生", "张"),
    ("PERSON", "收款人：欧阳小明，", "欧阳小明"),
    ("PERSON", "我叫王芳，", "王芳"),
    ("PERSON", "约翰·史密斯说", "约翰·史密斯"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "expected"), FOUND, ids=[text for _, text, _ in FOUND])
def test_found_with_its_type_and_ends(kind, text, expected):
    found = [(one.type.value, text[one.start : one.end]) for one in DETECTOR.find(text)]
    assert (kind, expected) in found


NOTHING = [
    "The password is wrong and my account is locked.",
    "Order 20250314 of 2025-03-14 10:30 costs 1,234,567.00 dollars.",
    "4111 1111 1111 1112 fails the checksum",
    "11010519491231002Y",
    "GB82 WEST 1234 5698 7654 33 GBP",
    "110105194913310021",  # a thirteenth month
    "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "May I open a Premier Account on Monday?",
    "第一季度净利润12.5亿元，同比增长3.2%。",
    "白金卡第一年免年费吗？",
    "Version 10.2.33 of 12 March, page 4111",
    "Dear Customer Service, hello there",
    "car 2024",
    "",
]


@pytest.mark.parametrize("text", NOTHING)
def test_what_only_looks_private(text):
    assert DETECTOR.find(text) == []


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("１３８００１３８０００", "13800138000"),
        ("138\u200b0013\u200d8000", "13800138000"),
        ("1\ufe0f\u20e33800138000", "13800138000"),
        ("١٣٨٠٠١٣٨٠٠٠", "13800138000"),
        ("138\u20110013\u20118000", "138-0013-8000"),
        ("138\u00a00013\u30008000", "138 0013 8000"),
        ("jo＠example．com", "jo@example.com"),
        ("\u202e4111\u00ad111111111111", "4111111111111111"),
    ],
)
def test_disguised_by_unicode(text, plain):
    (found,) = DETECTOR.find(text)
    (expected,) = DETECTOR.find(plain)
    assert (found.type, found.value) == (expected.type, expected.value)
    covered = text[found.start : found.end]
    assert not any(one.isalnum() for one in text.replace(covered, ""))


@pytest.mark.parametrize(
    ("column", "text", "kind"),
    [
        ("phone", "62551234", "PHONE"),
        ("姓名", "诸葛孔明", "PERSON"),
        ("customer_name", "Xiomara Quispe", "PERSON"),
        ("账号", "12345678", "ACCOUNT"),
        ("password", "hunter2", "SECRET"),
    ],
)
def test_a_columns_name_is_a_cue(column, text, kind):
    assert DETECTOR.find(text) == []
    (found,) = DETECTOR.find(text, column)
    assert (found.type, found.start, found.end) == (kind, 0, len(text))


@given(
    parts=st.lists(st.sampled_from(["\u200b", "\u00ad", "\ufeff", "_", "联"]), max_size=6),
    text=st.sampled_from(["13812345678", "\u200b138\u200b12345678", "Jo: a@b.com, 13812345678"]),
)
def test_no_character_of_a_columns_name_moves_what_is_found(parts, text):
    column = "phone" + "".join(parts)
    seen = re.sub("[\u200b\u00ad\ufeff]", "", column)
    found = DETECTOR.find(text, column)
    assert found == DETECTOR.find(text, seen)
    assert text[found[-1].start : found[-1].end].replace("\u200b", "") == "13812345678"


def test_types_that_are_not_asked_for_stay():
    detector = Detector([PrivateType.PHONE])
    (found,) = detector.find("a@b.com 13800138000")
    assert found.type is PrivateType.PHONE


HOSTILE = [
    one * (50_000 // len(one))
    for one in (
        "a",
        "1",
        "1 ",
        "a@",
        "a.b",
        "A",
        "John ",
        "张",
        "路1号",
        "十号",
        "1 Aa Aa Aa Aa, ",
        "password is is is is ",
        "-----BEGIN PRIVATE KEY-----",
        "eyJaaaaaaaa.",
        "[PERSON_",
        "DE89 ",
        "\u200b",
        "账号是是是是是是",
        "(",
        "".join(chr(n) for n in range(1, 0x3000)),
    )
]


@pytest.mark.parametrize("text", HOSTILE, ids=[repr(text[:12]) for text in HOSTILE])
def test_hostile_texts_end(text):
    """Backtracking without bounds would take years, not the second that these take."""
    found = DETECTOR.find(text)
    assert all(0 <= one.start < one.end <= len(text) for one in found)


def test_every_recogniser_finds_something_of_the_table():
    """None of them is dead."""
    texts = [text for _, text, _ in FOUND] + ["1 Aa, Bb, NY 10001", "Dayton, OH 45402"]
    texts += ["-----BEGIN RSA PRIVATE KEY-----\nMIIE", "，李小芳", "我找王小军"]
    texts += ["PSC 9830, APO AA 94891", "the van AB1 2345", "01062551234", "请转告李敏君"]
    texts += [
        "总统克林顿说",
        "姓名：诸葛孔明",
        "姓名：王小",
        "书记李平说",
        "和高明芳说",
        "，王小芳",
    ]
    texts += ["王小芳经理", "姓名：王小芳飞"]
    texts = [fold(text).text for text in texts]
    idle = [one for one in RECOGNISERS if not any(list(one.find(text)) for text in texts)]
    assert not idle


class Scripted:
    """An analyzer that knows one name."""

    def analyze(self, text, language, *, entities):
        assert (language, entities) == ("en", ["PERSON"])
        spans = (match.span() for match in re.finditer("Declan Todd", text))
        return [SimpleNamespace(start=start, end=end, score=0.85) for start, end in spans]


def test_a_model_adds_names():
    text = "x" * 99_990 + " I met Declan Todd"  # the name stands across two pieces
    assert DETECTOR.find(text) == []
    (found,) = Detector(recognisers=[Presidio(Scripted(), "en")]).find(text)
    assert (found.type, found.value) == (PrivateType.PERSON, "declan todd")
    assert text[found.start : found.end] == "Declan Todd"


def test_without_presidio_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "presidio_analyzer", None)
    with pytest.raises(MissingExtra, match=r"pip install 'pretune\[privacy\]'"):
        load_presidio("en_core_web_sm")
