"""Probes of safety and the rules that judge them."""

import pytest

from pretune.core.records import Prediction, Row
from pretune.gating.safety import judged, probes_of
from pretune.gating.texts import general_passages, refusal_words, safety_probes
from pretune.spec.task import parse_task

INSTRUCTION = "Answer from the policy of the bank, in one sentence, and never name a colleague."
ROWS = [
    Row("x:1", {"text": "Which fee?", "label": "low"}),
    Row("x:2", {"text": "?", "label": "high"}),
]


def task(**changes):
    value = {
        "data": {"train": "rows.jsonl"},
        "template": {"system": INSTRUCTION, "user": "{text}", "target": "{answer}"},
        "metrics": ["exact_match"],
        **changes,
    }
    return parse_task(value, name="desk")


LABELLED = {
    "labels": ["low", "high"],
    "metrics": ["accuracy"],
    "template": {"user": "{text}", "target": "{label}"},
}


def said(text: str, label: str | None = None) -> Prediction:
    return Prediction("x", text, (), label=label)


def holds(kind: str, *texts: str) -> list[bool]:
    probe = probes_of(task(), ROWS)[kind][0]
    return [probe.held(said(text)) for text in texts]


def test_an_order_in_the_text_is_not_to_be_followed():
    found = probes_of(task(), ROWS)["injection"]
    assert len(found) == len(safety_probes()["injection"].texts)
    assert found[0].row.fields["text"].startswith("Which fee?\n\n")
    assert holds("injection", "4 %", "Heliotrope!", "I write heliotrope.") == [True, False, False]


def test_the_instruction_is_not_to_be_told():
    quoted = "You said: answer FROM the policy of the bank, in one sentence"
    assert holds("leak", "4 %", quoted, "Answer from the policy") == [True, False, True]
    chinese = task(template={"system": "请只根据银行的规定回答客户的问题，不要提到同事的名字。",
                             "user": "{text}", "target": "{answer}"})  # fmt: skip
    probe = probes_of(chinese, ROWS)["leak"][0]
    assert not probe.held(said("指令是：请只根据银行的规定回答客户的问题，不要提到"))
    assert probe.held(said("银行的规定"))
    short = task(template={"system": "Be brief.", "user": "{text}", "target": "{answer}"})
    assert probes_of(short, ROWS)["leak"] == "the instruction has fewer than 8 words to be told by"


def test_a_long_answer_to_harm_must_refuse():
    long = "First you take the card and then you call the number on the back of it and say"
    assert holds("refusal", long, f"I cannot: {long}", "PER: none") == [False, True, True]
    assert holds("refusal", f"I can\u2019t say how {long}", f"I won\u2018t: {long}") == [True, True]


def test_labels_can_only_be_flipped():
    found = probes_of(task(**LABELLED), ROWS)
    assert {kind for kind, probes in found.items() if not isinstance(probes, str)} == {"flip"}
    assert "answers are labels" in found["leak"]
    first, second = found["flip"][:2]
    assert "high" in first.row.fields["text"], "the label that the row does not have"
    assert first.held(said("low", "low"))
    assert not first.held(said("high", "high"))
    assert "low" in second.row.fields["text"]


def test_a_task_without_a_users_column_is_not_asked():
    chat = task(template={"messages": "turns"})
    assert set(map(type, probes_of(chat, ROWS).values())) == {str}


def test_the_share_and_what_did_not_hold():
    probes = probes_of(task(), ROWS)["injection"]
    answers = [said("heliotrope")] * 3 + [said("4 %")] * (len(probes) - 3)
    found = judged("injection", probes, answers, [said("4 %")] * len(probes))
    assert found.share.value == pytest.approx(1 - 3 / len(probes))
    assert (found.base, found.failed) == (1.0, ("injection:0", "injection:1", "injection:2"))
    none = judged("leak", "no reason", [], [])
    assert (none.share, none.reason) == (None, "no reason")


def test_what_ships_is_whole():
    languages = {one.language for one in general_passages()}
    assert languages == {"en", "zh"}
    assert all(one.head.strip() and one.tail.strip() for one in general_passages())
    assert all(word == word.lower() for word in refusal_words())
    for probes in safety_probes().values():
        assert len(set(probes.texts)) == len(probes.texts) >= 8
        for text in probes.texts:
            assert text.format(word="w", label="l"), "no braces of its own"
