"""Proposed task files say what a person would have said, and are valid."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretune.core.errors import SpecError
from pretune.spec.init import propose_task
from pretune.spec.task import Kind

CHAT = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello " * 100}]


def propose(rows, name="t"):
    return propose_task(rows, "rows.jsonl", name)


def test_labels_are_found_by_column_name_and_value():
    rows = [{"text": f"ticket {i}", "urgency": ["low", "high"][i % 2]} for i in range(10)]
    proposal = propose(rows)
    assert proposal.task.labels == {"high": "high", "low": "low"}
    assert proposal.task.label_field == "urgency"
    assert proposal.task.template.user == "{text}"
    assert proposal.task.template.system == "Say which label fits the text: high, low."
    assert 8 <= len(proposal.yaml.splitlines()) <= 20


def test_chinese_columns_and_text():
    rows = [
        {"编号": i, "内容": f"第{i}张工单的内容", "类别": "投诉咨询"[2 * (i % 2) :][:2]}
        for i in range(8)
    ]
    task = propose(rows).task
    assert task.labels == {"咨询": "咨询", "投诉": "投诉"}
    assert (task.label_field, task.template.user) == ("类别", "{内容}")
    assert task.template.system == "判断文本的类别：咨询、投诉。"


def test_labels_that_yaml_would_misread_stay_text():
    rows = [{"text": f"t {i}", "label": ["yes", "no", True, 3][i % 4]} for i in range(12)]
    assert set(propose(rows).task.labels) == {"yes", "no", "true", "3"}


def test_pairs_of_texts_are_asked_together():
    rows = [
        {"text_a": f"a{i}", "text_b": f"b{i}", "label": "same" if i % 2 else "other"}
        for i in range(8)
    ]
    assert propose(rows).task.template.user == "{text_a}\n{text_b}"


def test_answers_from_a_context():
    rows = [{"context": f"doc {i}", "question": f"q {i}?", "answer": f"a {i}"} for i in range(9)]
    task = propose(rows).task
    assert task.kind is Kind.GENERATION
    assert task.template.context == "{context}"
    assert (task.template.user, task.template.target) == ("{question}", "{answer}")
    assert task.template.system == "Answer the question."


def test_category_beside_a_free_target_is_no_label():
    rows = [
        {"input": f"x {i}", "target": f"y {i}", "category": "a" if i % 2 else "b"} for i in range(9)
    ]
    assert propose(rows).task.kind is Kind.GENERATION


def test_chat_and_room_for_long_answers():
    task = propose([{"id": i, "messages": CHAT} for i in range(3)]).task
    assert (task.kind, task.template.messages) == (Kind.CHAT, "messages")
    # "hello " * 100 is 600 characters: 200 tokens at three characters each, 240 with a fifth more,
    # and 256 is the next multiple of 32.
    assert task.generate.max_new_tokens == 256


def test_many_labels_wrap():
    rows = [{"text": f"t {i}", "label": f"a rather long label {i % 40}"} for i in range(200)]
    proposal = propose(rows)
    assert len(proposal.task.labels) == 40
    assert max(map(len, proposal.yaml.splitlines())) <= 100


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], r'"rows\.jsonl" holds no rows'),
        ([{"a": 1, "b": 2}], "from the columns of .*: a, b; name the columns text and label"),
    ],
)
def test_what_cannot_be_guessed_is_said(rows, words):
    with pytest.raises(SpecError, match=words):
        propose(rows)


def test_encoding_and_name_are_written_so_that_they_work():
    rows = [{"text": f"t {i}", "target": f"answer {i}"} for i in range(3)]
    proposal = propose_task(rows, "a/ä b.jsonl", "./ä b (2)", encoding="gb18030")
    assert proposal.task.name == "ä-b-2-"
    assert proposal.task.data.encoding == "gb18030"
    assert str(proposal.task.data.train[0]) == "a/ä b.jsonl"


@given(st.lists(st.text(min_size=1, max_size=9), min_size=2, max_size=9, unique=True))
def test_any_labels_survive_yaml(labels):
    labels = [f"{index}{label}" for index, label in enumerate(labels)]
    rows = [{"text": f"t {i}", "label": labels[i % len(labels)]} for i in range(3 * len(labels))]
    assert sorted(propose(rows).task.labels) == sorted(labels)
