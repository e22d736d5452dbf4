"""Rows become turns; what cannot be used is refused with a reason that holds none of its text."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretune.core.records import Example, Row
from pretune.core.segments import Role, Turn
from pretune.data.rejected import Reason, Rejected
from pretune.data.template import Template, plain
from pretune.spec.task import parse_task

LABELLED = {
    "data": {"train": "a.jsonl"},
    "template": {"system": "Say how urgent.", "user": "{text}", "target": "{label}"},
    "labels": {"low": "not urgent", "high": "urgent"},
}
CHAT = {"data": {"train": "a.jsonl"}, "template": {"messages": "messages"}}


def task(value, **changes):
    return parse_task({**value, **changes}, name="t")


def render(spec, **fields):
    return Template(spec).example(Row("f:1", fields))


def test_segments_and_verbalizer():
    example = render(task(LABELLED), text="broken {label}", label="low")
    assert example == Example(
        "f:1",
        (
            Turn(Role.SYSTEM, "Say how urgent."),
            Turn(Role.USER, "broken {label}"),  # braces of the row's text mean nothing
            Turn(Role.TARGET, "not urgent"),
        ),
        label="low",
        references=("not urgent",),
    )


def test_option_is_what_a_row_of_that_label_trains():
    spec = task(LABELLED, template={"user": "{text}", "target": "Answer: {label}."})
    example = render(spec, text="x", label="high")
    assert (
        example.turns[-1] == Template(spec).option("high") == Turn(Role.TARGET, "Answer: urgent.")
    )


def test_cells_are_plain_text():
    cells = ("a", 3, True, None, math.nan, 1.5, ["é"], {"k": 1})
    texts = ["a", "3", "true", "", "", "1.5", '["é"]', '{"k": 1}']
    assert [plain(cell) for cell in cells] == texts


def test_numbers_are_labels_too():
    spec = task(LABELLED, labels={0: "bad", 1: "good"})
    assert render(spec, text="x", label=1).turns[-1].text == "good"


@pytest.mark.parametrize(
    ("fields", "reason", "detail"),
    [
        (
            {"txt": "secret", "label": "low"},
            Reason.MISSING_COLUMN,
            'no column "text"; did you mean "txt"? known: label, txt',
        ),
        ({"text": "secret"}, Reason.MISSING_COLUMN, 'no column "label"; known: text'),
        ({"text": " ", "label": "low"}, Reason.EMPTY_INPUT, 'nothing in "text"'),
        ({"text": None, "label": "low"}, Reason.EMPTY_INPUT, 'nothing in "text"'),
        ({"text": math.nan, "label": "low"}, Reason.EMPTY_INPUT, 'nothing in "text"'),
        ({"text": "secret", "label": ""}, Reason.EMPTY_TARGET, 'nothing in "label"'),
        ({"text": "secret", "label": math.nan}, Reason.EMPTY_TARGET, 'nothing in "label"'),
        (
            {"text": "secret", "label": "hgih"},
            Reason.UNKNOWN_LABEL,
            'not among the 2 labels of the task; the nearest known is "high"',
        ),
    ],
)
def test_unusable_rows_are_rejected_and_only_content_holds_their_text(fields, reason, detail):
    rejected = render(task(LABELLED), **fields)
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.detail) == (reason, detail)
    assert rejected.content == fields


def test_a_first_line_of_data_in_place_of_a_header_is_not_printed():
    rejected = render(task(LABELLED), **{"x" * 41: "1", "label": "low"})
    assert rejected.detail == 'no column "text"; known: label'


def test_empty_target_of_a_generation_task():
    spec = task({"data": LABELLED["data"], "template": {"user": "{q}", "target": "A: {a}"}})
    assert render(spec, q="x", a=" ").reason is Reason.EMPTY_TARGET


@pytest.mark.parametrize(
    ("cell", "references"),
    [(["A", "B"], ("A", "B")), ("B", ("B",)), ([], ("A",)), ([""], ("A",)), (None, ("A",))],
)
def test_references(cell, references):
    spec = task({"data": LABELLED["data"], "template": {"user": "{q}", "target": "{a}"}})
    assert render(spec, q="x", a="A", references=cell).references == references


def test_what_is_right_for_a_label_is_its_words():
    example = render(task(LABELLED), text="x", label="low", references=["something else"])
    assert example.references == ("not urgent",)


def test_a_message_may_hold_text_and_calls():
    calls = {"role": "assistant", "tool_calls": [{"f": 1}]}
    for content in ("Wait. ", [{"type": "text", "text": "Wait. "}]):
        said = {**calls, "content": content}
        example = render(task(CHAT), messages=[{"role": "user", "content": "U"}, said])
        assert example.turns[-1].text == 'Wait. [{"f": 1}]'


def test_empty_system_and_context_are_left_out():
    template = {"context": "{doc}", "user": "{text}", "target": "{label}"}
    example = render(task(LABELLED, template=template), doc="", text="x", label="low")
    assert [turn.role for turn in example.turns] == [Role.USER, Role.TARGET]


def test_suffix_scope_needs_a_context_in_every_row():
    template = {"context": "{doc}", "user": "{text}", "target": "{label}"}
    spec = task(LABELLED, template=template, scope="suffix")
    rejected = render(spec, doc="", text="x", label="low")
    assert (rejected.reason, rejected.detail) == (
        Reason.NO_CONTEXT,
        'scope "suffix" adapts what follows a context; use "prompt"',
    )


OPENAI = [
    {"role": "system", "content": "S"},
    {"role": "user", "content": [{"type": "text", "text": "U"}]},
    {"role": "assistant", "content": None, "tool_calls": [{"f": 1}]},
    {"role": "tool", "content": "R"},
    {"role": "assistant", "content": "A"},
]
SHAREGPT = [
    {"from": "system", "value": "S"},
    {"from": "human", "value": "U"},
    {"from": "function_call", "value": '[{"f": 1}]'},
    {"from": "observation", "value": "R"},
    {"from": "gpt", "value": "A"},
]


@pytest.mark.parametrize("messages", [OPENAI, SHAREGPT])
def test_chat_spellings_give_the_same_turns(messages):
    example = render(task(CHAT), messages=messages)
    assert example.turns == (
        Turn(Role.SYSTEM, "S"),
        Turn(Role.USER, "U"),
        Turn(Role.ASSISTANT, '[{"f": 1}]'),
        Turn(Role.USER, "R"),
        Turn(Role.ASSISTANT, "A"),
    )
    assert example.prompt == example.turns[:4]
    assert example.references == ("A",)


@pytest.mark.parametrize(
    ("messages", "reason", "detail"),
    [
        ("no json", Reason.BAD_MESSAGES, "the messages are no JSON"),
        ("[" * 100_000, Reason.BAD_MESSAGES, "the messages are no JSON"),
        (r'[{"role": "user", "content": "\ud800"}]', Reason.BAD_MESSAGES,
         "the messages are no JSON"),
        ([], Reason.BAD_MESSAGES, "the messages are no list, or an empty one"),
        ([{"role": "user", "content": 5, "tool_calls": [1]}], Reason.BAD_MESSAGES,
         "message 1 has no text"),
        ([{"role": "boss", "content": "x"}], Reason.BAD_MESSAGES, "message 1 has no known role"),
        ([{"role": "user"}], Reason.BAD_MESSAGES, "message 1 has no text"),
        (["x"], Reason.BAD_MESSAGES, "message 1 is no object"),
        (OPENAI[:2], Reason.EMPTY_TARGET, "no message of the assistant's stands last"),
        (OPENAI[4:], Reason.EMPTY_INPUT, "no message comes before the assistant's last"),
    ],
)  # fmt: skip
def test_bad_messages(messages, reason, detail):
    rejected = render(task(CHAT), messages=messages)
    assert rejected.reason is reason
    assert rejected.detail.startswith(detail)


def test_prompt_needs_no_target_column():
    template = Template(task(LABELLED))
    prompt = template.prompt(Row("f:1", {"text": "x"}))
    assert prompt.turns == template.example(Row("f:1", {"text": "x", "label": "low"})).prompt
    chat = Template(task(CHAT)).prompt(Row("f:1", {"messages": OPENAI[:2]}))
    assert [turn.role for turn in chat.turns] == [Role.SYSTEM, Role.USER]


def test_split_key_is_what_is_asked_whatever_the_template_says_or_the_answer_is():
    key = Template(task(LABELLED)).split_key(Row("f:1", {"text": "x", "label": "low"}))
    other = task(LABELLED, template={"user": "Now: {text}", "target": "{label}"})
    assert Template(other).split_key(Row("g:9", {"text": "x", "label": "high"})) == key
    assert Template(other).split_key(Row("f:1", {"text": "y", "label": "low"})) != key


@given(st.text(), st.text())
def test_any_text_passes_through_unchanged(before, text):
    braces = before.replace("{", "{{").replace("}", "}}")
    spec = task(LABELLED, template={"user": braces + "{text}", "target": "{label}"})
    example = Template(spec).example(Row("f:1", {"text": text, "label": "low"}))
    if text.strip():
        assert example.turns[-2] == Turn(Role.USER, before + text)
    else:
        assert example.reason is Reason.EMPTY_INPUT
