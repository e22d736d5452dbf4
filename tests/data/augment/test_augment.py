"""Variants say the same otherwise: labels stay, answers and annotations move, the row is named."""

import json
import re
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretune.core.errors import DataError, SpecError
from pretune.core.origin import KEY, RowKind, content_id, made, origin_of
from pretune.data.augment.augment import OPERATORS, augment_rows, operators_of
from pretune.data.augment.edits import Edit, Span, apply, moved
from pretune.data.augment.entities import Entity, Names, another, found_in
from pretune.data.augment.varied import Columns, Varied
from pretune.spec.augmenting import ENTITY_NAMES, OPERATOR_NAMES, AugmentSpec, parse_augment
from pretune.spec.task import parse_task
from within import within

NAMES = Names.read()
LABELLED = {"user": "{text}", "target": "{label}"}
FREE = {"context": "{policy}", "user": "{text}", "target": "{answer}"}


def task_of(folder, rows, template=LABELLED, labels=("a", "b")):
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "train.jsonl").write_text(text, "utf-8")
    (folder / "test.jsonl").write_text(text.replace("Anna", "Test"), "utf-8")
    data = {split: "train.jsonl" if split == "train" else "test.jsonl"
            for split in ("train", "validation", "test")}  # fmt: skip
    value = {"name": "t", "data": data, "template": template}
    if labels:
        value["labels"] = list(labels)
    return parse_task(value, folder=folder)


def load(path):
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def vary(fields, name, template=FREE, labels=(), seed=0, **spec):
    task = parse_task(
        {"name": "t", "data": {"train": "x.jsonl"}, "template": template,
         **({"labels": list(labels)} if labels else {})}
    )  # fmt: skip
    operator = operators_of(task, AugmentSpec(operators=(name,), **spec))[name]
    return operator.vary(Varied(fields, Columns.of(task)), Random(seed))


def test_neither_training_nor_held_out_rows_are_replaced_by_variants(tmp_path):
    task = task_of(tmp_path, [{"text": "Anna waits for 50 euros.", "label": "a"}])
    for name in ("train.jsonl", "test.jsonl"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(SpecError, match=f'{name}" is a file to be read'):
            augment_rows(task, tmp_path / name, AugmentSpec(operators=("typo",)), overwrite=True)
        assert (tmp_path / name).read_bytes() == before


TEXT = st.text(alphabet="ab 一二", max_size=20)


@given(TEXT, st.data())
def test_spans_move_with_the_text(text, data):
    places = st.integers(0, len(text))
    cuts = sorted(data.draw(st.lists(places, min_size=4, max_size=4)))
    edits = [Edit(cuts[0], cuts[1], data.draw(TEXT))]
    start, end = cuts[2], cuts[3]
    span = moved(Span(start, end), edits)
    assert span is not None
    assert apply(text, edits)[span.start : span.end] == text[start:end]


def test_an_edit_across_a_border_has_no_span():
    assert moved(Span(2, 5), [Edit(4, 6, "x")]) is None
    assert moved(Span(2, 5), [Edit(3, 4, "xyz")]) == Span(2, 7)


ENGLISH = "Anna Reed of Oakmere Energy pays $1,200.50 to account 12-345678 in Oslo on 5 March 2026."
CHINESE = "客户王伟先生，云岭物流5月3日从杭州汇款人民币3000元，账号6222021234567890。"


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_every_type_is_found_and_changed_in_its_form(text):
    found = {kind: text[slice(*span)] for kind, span in found_in(text, NAMES)}
    assert set(found) >= set(Entity) - {Entity.PRODUCT}
    for kind, said in found.items():
        new = another(kind, said, NAMES, Random(3))
        assert new != said
        shape = [
            re.sub(r"\d+", "9", re.sub(r"[A-Za-z\u3400-\u9fff]+", "x", t)) for t in (said, new)
        ]
        if kind in (Entity.AMOUNT, Entity.DATE, Entity.ACCOUNT):
            assert shape[0].replace("9,9", "9") == shape[1].replace("9,9", "9")


@pytest.mark.parametrize("piece", ["1", "1,111", ",111", "1.1", "1 ", "$1", "一1"])
def test_a_long_run_of_numbers_is_searched_in_linear_time(piece):
    """Of a square of time the pieces would take minutes."""
    with within(60):
        found_in(piece * (50_000 // len(piece)), NAMES)


@given(st.text("1,.5 $元USD", max_size=20))
def test_an_amount_begins_where_its_number_does(text):
    for kind, span in found_in(text, NAMES):
        if kind is Entity.AMOUNT:
            number = re.search(r"\d", text[slice(*span)])
            assert number is not None
            start = span.start + number.start()
            assert not text[start - 1 : start].isdigit()


def test_substitution_is_one_for_the_whole_row_and_takes_the_answer_along():
    fields = {
        "policy": "Anna Reed owes $500. Pay Anna Reed's share by 5 March.",
        "text": "What does Anna owe, Anna Reed that is?",
        "answer": "Anna Reed owes $500",
        "references": ["$500"],
    }
    new = vary(fields, "entity")
    person = new["answer"].split(" owes ")[0]
    first, amount = person.split()[0], new["references"][0]
    assert person != "Anna Reed"
    assert new == {
        "policy": new["policy"],
        "text": f"What does {first} owe, {person} that is?",
        "answer": f"{person} owes {amount}",
        "references": [amount],
    }
    assert new["policy"].startswith(f"{person} owes {amount}. Pay {person}'s share by ")
    assert "5 March." not in new["policy"]


def test_a_computed_answer_keeps_its_numbers():
    fields = {"policy": "A is $5, B is $7.", "text": "Sum for Anna Reed?", "answer": "$12"}
    new = vary(fields, "entity")
    assert (new["policy"], new["answer"]) == (fields["policy"], "$12")
    assert "Anna" not in new["text"]


def test_annotations_name_the_entities_and_move():
    text = "付给李明明公司3000元，李明明公司确认"
    fields = {
        "policy": "",
        "text": text,
        "answer": "李明明公司",
        "entities": [
            {"type": "ORG", "text": "李明明公司", "start": 2, "end": 7},
            {"type": "ORG", "text": "李明明公司", "start": 13, "end": 18},
        ],
    }
    new = vary(fields, "entity")
    assert new["answer"] in NAMES.lists["zh.company"]
    assert new["text"].count(new["answer"]) == 2
    for span in new["entities"]:
        assert new["text"][span["start"] : span["end"]] == span["text"] == new["answer"]


@pytest.mark.parametrize(
    "timed",
    [
        {"start": 0.0, "end": 6.0, "text": "Anna"},
        {"start": None, "end": None, "text": "Anna"},
        {"start": 0, "end": 4, "text": 5},
    ],
)
def test_what_only_has_the_keys_of_an_annotation_stays(timed):
    fields = {"policy": "", "text": "Anna Reed calls.", "answer": "Anna Reed", "said": [timed]}
    new = vary(fields, "entity")
    assert new["text"] == f"{new['answer']} calls."
    assert new["answer"] != "Anna Reed"
    assert new["said"] == [timed]


def test_with_labels_amounts_and_dates_stay_unless_named():
    fields = {"text": ENGLISH, "label": "a"}
    new = vary(fields, "entity", LABELLED, ("a", "b"))
    assert "$1,200.50" in new["text"]
    assert "5 March 2026" in new["text"]
    only = vary(fields, "entity", LABELLED, ("a", "b"), entities=("amount",))
    assert only["text"].startswith("Anna Reed of Oakmere Energy pays $")
    assert "$1,200.50" not in only["text"]


def test_own_names_take_the_place_of_the_packages(tmp_path):
    (tmp_path / "names.txt").write_text("[en.company]\nAcme Bank | Acme Trust\n")
    names = tmp_path / "names.txt"
    new = vary({"policy": "", "text": "Acme Bank called", "answer": "x"}, "entity", names=names)
    assert new["text"] == "Acme Trust called"


@pytest.mark.parametrize("name", ["synonym", "typo", "colloquial"])
@settings(max_examples=30)
@given(seed=st.integers(0, 10**6))
def test_rewording_leaves_alone_what_must_stay(name, seed):
    fields = {
        "policy": "The fee is $45, please do not pay it today.",
        "text": "Please help: I do not want to pay the fast courier fee of $45.50 to Olwen Ltd.",
        "answer": "courier fee: $45.50",
        "spans": [{"type": "ORG", "text": "Olwen Ltd", "start": 68, "end": 77}],
    }
    assert fields["text"][68:77] == "Olwen Ltd"
    new = vary(fields, name, seed=seed)
    assert new["text"] != fields["text"]
    assert (new["policy"], new["answer"]) == (fields["policy"], fields["answer"])
    assert "courier fee of $45.50" in new["text"].replace("off", "of").replace("fo ", "of ") or (
        "courier fee" in new["text"] and "$45.50" in new["text"]
    )
    (span,) = new["spans"]
    assert new["text"][span["start"] : span["end"]] == span["text"] == "Olwen Ltd"


@pytest.mark.parametrize(
    ("name", "said", "expected"),
    [
        ("colloquial", "I cannot log in.", r"(\w[\w ]*[,:]? |ok so )?I can't log in"),
        ("colloquial", "为什么转账没有到账。", r"(.+，|哎，)?为啥转账没到账[啊呀呢哦哈]?"),
        ("synonym", "Buy it now", "Purchase it now"),
        ("synonym", "请立即办理", "请(马上|立刻)(办理|处理)|请立即处理"),
    ],
)
def test_rewordings(name, said, expected):
    new = vary({"text": said, "label": "a"}, name, LABELLED, ("a", "b"))
    assert re.fullmatch(expected, new["text"]), new["text"]


def test_a_typo_is_small():
    text = "Please transfer everything to the savings account"
    for seed in range(30):
        new = vary({"text": text, "label": "a"}, "typo", LABELLED, ("a", "b"), seed=seed)["text"]
        assert new != text
        assert abs(len(new) - len(text)) <= 1


ROWS = [
    {"text": f"Anna Reed, please help me with my {n}. problem", "label": "ab"[n % 2]}
    for n in range(40)
]


def test_rows_name_their_parent_and_held_out_rows_are_not_varied(tmp_path):
    rows = [*ROWS, made({"text": "Anna Reed varied", "label": "a"}, RowKind.AUGMENTED, "x", "y@1",
                        origin_of(ROWS[0]))]  # fmt: skip
    spec = AugmentSpec(operators=("entity", "typo+colloquial"), per_row=4)
    written = augment_rows(task_of(tmp_path, rows), tmp_path / "out.jsonl", spec)
    out = load(tmp_path / "out.jsonl")
    assert written.counts == {
        "entity": 80,
        "typo+colloquial": 80,
        "not varied: a variant itself, or a broken origin": 1,
    }
    ids = {content_id(row) for row in ROWS}
    labels = {content_id(row): row["label"] for row in ROWS}
    for row in out:
        origin = origin_of(row)
        assert origin.parent in ids
        assert origin.root == origin.parent
        assert origin.kind is RowKind.AUGMENTED
        assert row["label"] == labels[origin.parent]
        assert re.match(r"(entity|typo\+colloquial)@\w{12}$", origin.recipe)
    assert len({row["text"] for row in out}) == len(out)
    assert not any("Test" in row["text"] for row in out)


@settings(max_examples=8)
@given(stop=st.integers(1, 39))
def test_interrupted_is_uninterrupted(tmp_path_factory, stop):
    folder = tmp_path_factory.mktemp("rows")
    task, spec = task_of(folder, ROWS), AugmentSpec(operators=("entity", "typo"), per_row=2)
    calls = iter(range(999))

    def die(_count):
        if next(calls) == stop - 1:
            raise KeyboardInterrupt

    augment_rows(task, folder / "whole.jsonl", spec)
    with pytest.raises(KeyboardInterrupt):
        augment_rows(task, folder / "broken.jsonl", spec, progress=die)
    assert augment_rows(task, folder / "broken.jsonl", spec).resumed_at == stop
    assert (folder / "broken.jsonl").read_bytes() == (folder / "whole.jsonl").read_bytes()


def test_names_of_operators_and_entities_are_those_of_the_spec():
    assert tuple(operator.name for operator in OPERATORS) == OPERATOR_NAMES
    assert tuple(Entity) == ENTITY_NAMES
    for operator in OPERATORS:
        assert operator.changes
        assert operator.not_for


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"operators": ["typos"]}, 'unknown operator "typos"; did you mean "typo"?'),
        ({"operators": ["typo+entiti"]}, 'unknown operator "entiti"; did you mean "entity"?'),
        ({"operators": ["entity"], "entities": ["money"]}, 'unknown entity "money"'),
        ({"operators": []}, "at least 1 item"),
        ({"operators": ["typo"], "per_row": 0}, "per_row"),
    ],
)
def test_what_cannot_be_asked_for(value, said):
    with pytest.raises(SpecError) as error:
        parse_augment(value)
    assert said in str(error.value)


def test_chats_are_refused_and_missing_files_named(tmp_path):
    chat = task_of(tmp_path, ROWS, {"messages": "messages"}, ())
    with pytest.raises(SpecError, match="has chat messages, which no operator varies"):
        augment_rows(chat, tmp_path / "out.jsonl", AugmentSpec(operators=("typo",)))
    task = task_of(tmp_path, ROWS)
    (tmp_path / "train.jsonl").unlink()
    with pytest.raises(DataError, match="no data file"):
        augment_rows(task, tmp_path / "out.jsonl", AugmentSpec(operators=("typo",)))
    assert KEY == "_origin"
