"""What a pair may say: right ones that a careless check would refuse, and wrong ones."""

import pytest

from pretune.data.distil.checks import Source, check
from pretune.data.distil.pairs import Fault, Junk, Pair, parse
from pretune.data.distil.prompts import prompts_for, prompts_in
from pretune.data.teacher.ask import Reply
from pretune.data.textindex import TextIndex
from pretune.spec.distil import CheckSpec, QuestionType

ENGLISH = (
    "In 1901, Warsaw's population was 711,988, of whom 56.2% were Catholic. 2008's storm cut the "
    "power. To report a loss, call the desk, then visit the branch."
)
CHINESE = "球栉水母的小触手称为 tentilla。华沙的宗教场所于1944年被摧毁，见《城市史》第二章。"


def fault(text, question, answer, support=None, kind=QuestionType.FACT):
    source = Source(1, "c", "d", ("Cities",), text, prompts_for(text))
    index = TextIndex()
    index.add([(1, source.whole, "")])
    pair = Pair(kind, question, answer, text if support is None else support)
    return check(pair, source, index, CheckSpec()).fault


@pytest.mark.parametrize(
    ("text", "question", "answer"),
    [
        (ENGLISH, "What was Warsaw's population in 1901?", "711988"),
        (ENGLISH, "What share of Warsaw was Catholic?", "56.2%"),
        (ENGLISH, "When did a storm cut the power?", "2008"),
        (ENGLISH, "How is a loss reported?", "1. call the desk\n2. visit the branch"),
        (CHINESE, "球栉水母的小触手叫什么？", "tentilla"),
        (CHINESE, "宗教场所是什么时候被摧毁的？", "1944 年"),
        (CHINESE, "《城市史》第几章讲华沙？", "第二章"),
    ],
)
def test_right_pairs_are_kept(text, question, answer):
    assert fault(text, question, answer) is None


@pytest.mark.parametrize(
    ("text", "question", "answer", "reason"),
    [
        (ENGLISH, "What was Warsaw's population in 1902?", "711,988", Fault.NUMBERS),
        (ENGLISH, "What was Berlin, or Warsaw, in 1901?", "711,988", Fault.NAMES),
        (ENGLISH, "What share of Warsaw was Catholic?", "5.62%", Fault.NUMBERS),
        (ENGLISH, "What share of Warsaw was Catholic?", "华沙的一半", Fault.LANGUAGE),
        (ENGLISH, "Combien d'habitants comptait Warsaw en 1901?", "711,988", Fault.LANGUAGE),
        (CHINESE, "What is the small tentacle?", "tentilla", None),
        (CHINESE, "《地方志》讲什么？", "华沙的宗教场所", Fault.NAMES),
        (CHINESE, "文中提到的水母是什么？", "球栉水母", Fault.REFERS),
        (ENGLISH, "2008's storm cut the power", "2008's storm cut the power.", Fault.STATED),
        (CHINESE, "小触手称为tentilla", "球栉水母的小触手称为 tentilla", Fault.STATED),
    ],
)
def test_wrong_pairs_are_not(text, question, answer, reason):
    found = fault(text, question, answer)
    assert found is (reason or Fault.ROUND_TRIP)


def test_a_support_of_a_few_letters_proves_nothing():
    assert fault(ENGLISH, "What share of Warsaw was Catholic?", "56.2%", "In") is Fault.SUPPORT


def test_a_support_may_differ_in_layout_only():
    quote = "in １９０１ Warsaw’s **population** was 711,988"
    assert fault(ENGLISH, "What was Warsaw's population?", "711,988", quote) is None


@pytest.mark.parametrize(
    ("text", "questions"),
    [
        ('[{"question": "a", "answer": "b", "support": "c"}]', ["a"]),
        ('See [1].\n```json\n[{"question": "a", "answer": 5}]\n```', ["a"]),
        ('{"pairs": [{"question": "a", "answer": ["x", "y"]}]}', ["a"]),
        ("[]", []),
    ],
)
def test_json_is_found_wherever_it_stands(text, questions):
    pairs = parse(Reply(text, True, 1, 1), QuestionType.FACT, prompts_in("en"))
    assert [pair.question for pair in pairs] == questions


@pytest.mark.parametrize("text", ["", "[", "no", '["a"]', "[" * 100_000, '{"question": "a"}'])
def test_what_is_no_list_of_pairs_is_junk(text):
    with pytest.raises(Junk):
        parse(Reply(text, True, 1, 1), QuestionType.FACT, prompts_in("en"))
