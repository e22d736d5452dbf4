"""The demo's rows: made by the generator, split by pattern, and no easier than they claim."""

import json
import re
from collections import Counter
from fnmatch import fnmatchcase

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

import demo_data
from demo_data import RULES, SIZES
from pretune.bases.chat import ChatRenderer
from pretune.data.dataset import prepare
from pretune.data.rules.book import Book
from pretune.data.rules.check import check_rules
from pretune.data.rules.words import read_words
from pretune.data.splits import Split as Part
from pretune.evaluation.metrics import get_metrics
from pretune.evaluation.metrics.entity_f1 import parse_entities
from pretune.spec.rules import load_rules
from pretune.spec.task import load_task

BY_NAME = {path.name.split(".")[0]: load_rules(path) for path in RULES}
LABELLED = ("bank-intent", "news-sentiment", "ticket-urgency-zh", "risk-type-zh")
WORDS = demo_data.FOLDER / "rules" / "words"
NOT_STATED = "not stated"


def rows_of(name, part):
    text = (demo_data.FOLDER / f"{name}.{part}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def made():
    return demo_data.files()


def test_the_committed_files_are_what_the_generator_writes(made):
    committed = {
        path.name: path.read_bytes().decode("utf-8") for path in demo_data.FOLDER.glob("*.jsonl")
    }
    assert committed.keys() == made.keys()
    stale = [name for name, text in made.items() if committed[name] != text]
    assert not stale, f"run python tools/demo_data.py; stale: {stale}"


def test_all_files_together_stay_small(made):
    assert sum(len(text.encode()) for text in made.values()) < 1_500_000


@pytest.mark.parametrize("name", BY_NAME)
def test_no_prompt_occurs_twice_within_or_between_splits(name):
    prompts = Counter(
        tuple(text for column, text in row.items() if column != BY_NAME[name].target)
        for part in Part
        for row in rows_of(name, part)
    )
    assert prompts.total() == sum(SIZES.values())
    assert max(prompts.values()) == 1


@pytest.mark.parametrize("path", sorted(WORDS.glob("*.txt")), ids=lambda path: path.stem)
def test_every_phrase_is_unique(path):
    for name, entries in read_words(path).items():
        assert len({entry.text for entry in entries}) == len(entries), name


@pytest.mark.parametrize("name", BY_NAME)
def test_the_rules_are_free_of_contradictions_and_all_is_said(name):
    report = check_rules(BY_NAME[name], draws=1000)
    faults = [one.said for one in report.findings if one.fault in ("contradiction", "unreachable")]
    assert not faults
    assert not report.probe.solves


@pytest.mark.parametrize("name", BY_NAME)
def test_no_train_row_was_said_with_a_test_pattern(name):
    """The patterns held out, as regular expressions, match nothing that training sees.

    Patterns of which little is left without their slots are passed over: too little to tell one
    sentence from another.
    """
    book = Book(BY_NAME[name])
    held = [
        book.said(slot, number)
        for slot in book.reached
        if slot in book.entries and _is_held(BY_NAME[name], slot)
        for number in book.usable(slot, Part.TEST)
        if len(_fixed(book.said(slot, number))) >= (6 if name.endswith("-zh") else 16)
    ]
    assert len(held) >= 8
    text = "\n".join(" ".join(row.values()) for row in rows_of(name, Part.TRAIN))
    assert [pattern for pattern in held if re.search(_expression(pattern), text)] == []


def _is_held(rules, slot):
    return any(fnmatchcase(slot, pattern) for pattern in rules.hold_out.phrases)


def _fixed(pattern):
    return re.sub(r"\{[^{}]*\}|\([^()]*\)", "", pattern)


def _expression(pattern):
    pieces = re.split(r"(\{[^{}]*\}|\([^()]*\|[^()]*\))", pattern)
    return "".join(
        r"[^\n]{1,30}?" if piece[:1] in ("{", "(") and i % 2 else re.escape(piece)
        for i, piece in enumerate(pieces)
    )


@pytest.mark.parametrize("name", BY_NAME)
def test_every_row_fits_the_embedded_base_and_none_is_dropped(name, renderer):
    task = load_task(demo_data.FOLDER / f"{name}.yaml")
    report = prepare(task, renderer).report
    for part, size in SIZES.items():
        split = report.splits[part]
        assert (split.kept, split.truncated, dict(split.dropped)) == (size, 0, {})


@pytest.fixture(scope="module")
def renderer():
    from transformers import AutoTokenizer

    import pretune.bases

    folder = next(iter(pretune.bases.__path__)) + "/embedded"
    return ChatRenderer(AutoTokenizer.from_pretrained(folder), 512)


@pytest.mark.parametrize("name", BY_NAME)
def test_the_metrics_exist(name):
    asked = load_task(demo_data.FOLDER / f"{name}.yaml").metrics
    assert [metric.name for metric in get_metrics(asked)] == list(asked)


@pytest.mark.parametrize("name", LABELLED)
def test_every_label_is_common_in_every_split(name):
    labels = load_task(demo_data.FOLDER / f"{name}.yaml").labels
    for part, size in SIZES.items():
        counts = Counter(row["label"] for row in rows_of(name, part))
        assert counts.keys() == labels.keys()
        assert min(counts.values()) >= 0.7 * size / len(labels)


@pytest.mark.parametrize("name", LABELLED)
def test_words_alone_help_but_do_not_decide(name):
    """A linear model on single words (Chinese: characters) learns from train and is far from
    right on test: the label is not one surface word, and still not noise."""
    chinese = name.endswith("-zh")
    train, test = rows_of(name, Part.TRAIN), rows_of(name, Part.TEST)
    words = TfidfVectorizer(analyzer="char" if chinese else "word")
    inputs = words.fit_transform([row["text"] for row in train])
    probe = LogisticRegression(C=10, max_iter=1000).fit(inputs, [row["label"] for row in train])
    predicted = probe.predict(words.transform([row["text"] for row in test]))
    value = f1_score([row["label"] for row in test], predicted, average="macro")
    assert 1.5 / len(set(probe.classes_)) < value < 0.95


@pytest.mark.parametrize("part", Part)
def test_payments_answer_in_their_own_words_and_name_three_entities(part):
    for row in rows_of("payment-extract", part):
        entities = dict(pair.split(": ", 1) for pair in row["answer"].split("; "))
        assert list(entities) == ["payee", "amount", "date"]
        assert all(value.lower() in row["text"].lower() for value in entities.values())
        assert parse_entities(row["answer"]).total() == 3


@pytest.mark.parametrize("part", Part)
def test_policies_state_their_answer_once_or_not_at_all(part):
    rows = rows_of("policy-answer", part)
    for row in rows:
        if row["answer"] != NOT_STATED:
            stated = re.findall(
                rf"(?<![\w$.]){re.escape(row['answer'])}(?![\w%]|\.\d)", row["policy"]
            )
            assert len(stated) == 1, row
    share = sum(row["answer"] == NOT_STATED for row in rows) / len(rows)
    assert 0.08 < share < 0.25
