"""Perturbations: what they change, what they leave, and that they are the same everywhere."""

import pytest

from pretune.bases.fakes import tiny_base
from pretune.core.records import Row
from pretune.gating.robustness import PERTURBATIONS, examples_of, perturbed
from pretune.spec.task import parse_task

BY_NAME = {one.name: one for one in PERTURBATIONS}
ROWS = [
    Row("rows.jsonl:1", {"text": "My credit card was stolen yesterday evening", "label": "high"}),
    Row("rows.jsonl:2", {"text": "Which interest rate applies to savings", "label": "low"}),
]


def task(**changes):
    value = {
        "data": {"train": "rows.jsonl"},
        "template": {
            "system": "Answer low or high. Help the customer quickly.",
            "user": "{text}",
            "target": "{label}",
        },
        "labels": ["low", "high"],
        **changes,
    }
    return parse_task(value, name="desk")


@pytest.mark.parametrize("name", BY_NAME)
def test_what_is_right_stays_and_it_is_the_same_each_time(name):
    spec, rows = perturbed(BY_NAME[name], task(), ROWS)
    assert (spec, rows) != (task(), ROWS)
    assert perturbed(BY_NAME[name], task(), ROWS) == (spec, rows)
    assert [row.id for row in rows] == [row.id for row in ROWS]
    assert [row.fields["label"] for row in rows] == ["high", "low"]
    assert (spec.labels, spec.template.target) == (task().labels, task().template.target)
    renderer = tiny_base(max_position_embeddings=2048).renderer
    assert [one.label for one in examples_of(spec, renderer, rows)] == ["high", "low"]


def test_listed_labels_are_turned_round():
    spec, rows = perturbed(BY_NAME["option_order"], task(), ROWS)
    assert spec.template.system == "Answer high or low. Help the customer quickly."
    assert rows == ROWS
    braces = {"system": "low, {{x}}, high", "user": "{text}", "target": "{label}"}
    spec, _ = perturbed(BY_NAME["option_order"], task(template=braces), ROWS)
    assert spec.template.system == "high, {{x}}, low"
    plain = task(template={"system": "Slowly.", "user": "{text}", "target": "{label}"})
    assert perturbed(BY_NAME["option_order"], plain, ROWS) is None, "a word that holds a label"


@pytest.mark.parametrize(
    ("said", "turned"),
    [
        ("How low or high? Say low, mid or high.", "How low or high? Say high, mid or low."),
        ("How high is it? low, mid, high", "How high is it? high, mid, low"),
        ("low, mid, high. If you doubt: low.", "high, mid, low. If you doubt: low."),
    ],
)
def test_a_label_that_the_question_has_for_a_word_stays(said, turned):
    # Turned round with the list, it would stand there twice, and another one not at all.
    labels = ["low", "mid", "high"]
    template = {"system": said, "user": "{text}", "target": "{label}"}
    spec, _ = perturbed(BY_NAME["option_order"], task(labels=labels, template=template), ROWS)
    assert spec.template.system == turned


def test_an_instruction_is_paraphrased_and_its_labels_stay():
    labels = {"low": "customer", "high": "quick"}
    spec, _ = perturbed(BY_NAME["template"], task(labels=labels), ROWS)
    system = spec.template.system
    opening = "Please read this carefully before you answer. "
    assert system == f"{opening}Reply low or high. Assist the customer rapidly.", "a label's words"
    plain, _ = perturbed(BY_NAME["template"], task(), ROWS)
    assert plain.template.system == f"{opening}Reply low or high. Assist the client rapidly."
    assert plain.template.user == "{text}"


def test_typos_leave_numbers_and_answers_alone():
    spec = task(
        labels=None,
        template={"user": "{text}", "target": "{answer}"},
        metrics=["exact_match"],
    )
    said = "Transfer 4500 euros to Hannelore tomorrow"
    rows = [Row("x:1", {"text": said, "answer": "Hannelore"})]
    _, (row,) = perturbed(BY_NAME["typos"], spec, rows)
    assert row.fields["text"] != rows[0].fields["text"]
    assert "4500" in row.fields["text"]
    assert "Hannelore" in row.fields["text"]


def test_a_passage_stands_behind_a_context_or_before_the_users_text():
    _, (row, _) = perturbed(BY_NAME["context"], task(), ROWS)
    assert row.fields["text"].endswith("\n\nMy credit card was stolen yesterday evening")
    asked = {"context": "{policy}", "user": "{text}", "target": "{label}"}
    rows = [Row("x:1", {**ROWS[0].fields, "policy": "Cards are replaced free of charge."})]
    _, (row,) = perturbed(BY_NAME["context"], task(template=asked), rows)
    assert row.fields["policy"].startswith("Cards are replaced free of charge.\n\n")
    assert row.fields["text"] == ROWS[0].fields["text"]


def test_annotations_move_along():
    text = "Pay Hannelore"
    spans = [{"start": 4, "end": 13, "text": "Hannelore", "type": "PER"}]
    spec = task(labels=None, template={"user": "{text}", "target": "{answer}"}, metrics="chrf")
    rows = [Row("x:1", {"text": text, "answer": "PER: Hannelore", "entities": spans})]
    _, (row,) = perturbed(BY_NAME["context"], spec, rows)
    (span,) = row.fields["entities"]
    assert row.fields["text"][span["start"] : span["end"]] == "Hannelore"


def test_a_chat_has_nothing_that_is_changed():
    chat = task(labels=None, template={"messages": "turns"}, metrics=["exact_match"])
    rows = [Row("x:1", {"turns": [{"role": "user", "content": "Hi"}]})]
    assert all(perturbed(one, chat, rows) is None for one in PERTURBATIONS)
