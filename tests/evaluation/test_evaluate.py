import errno
import json
import os

import pytest

from pretune.core.errors import DataError, StorageError, UnknownName
from pretune.core.records import Prediction, TokenExample
from pretune.core.segments import Role, TokenSegment
from pretune.evaluation.evaluate import evaluate, load_evaluation, measure, save_evaluation

PAIRS = [("a", "a"), ("a", "b"), ("b", "b"), ("b", None)]


def examples():
    segments = (TokenSegment(Role.USER, (1, 2, 3)), TokenSegment(Role.TARGET, (4, 5)))
    return [TokenExample(f"rows.jsonl:{i}", segments, "a") for i in range(1, 5)]


def test_an_evaluation_says_what_it_measured(labelled):
    found = evaluate(
        "sentiment",
        examples(),
        lambda rows: labelled(PAIRS[: len(rows)]),
        ["macro_f1", "accuracy"],
        adapter="digest",
    )
    assert (found.task, found.adapter, found.rows) == ("sentiment", "digest", 4)
    assert list(found.metrics) == ["macro_f1", "accuracy"]
    assert found.metrics["accuracy"].value == 0.5
    assert found.prompt_tokens == 4 * 3
    assert found.seconds > 0
    assert [row.label for row in found.labels] == ["a", "b"]
    assert sum(pair.count for pair in found.confusions) == 4


def test_an_unknown_metric_is_refused_before_anything_is_answered():
    def never(rows):
        raise AssertionError("answered all the same")

    with pytest.raises(UnknownName, match='unknown metric "acc"'):
        evaluate("sentiment", examples(), never, ["acc"])


def test_text_tasks_have_no_label_table_and_entity_tasks_one_of_types(written):
    text = measure("qa", written([("x", "y")]), ["exact_match"])
    assert (text.labels, text.confusions) == ((), ())
    entities = measure("ner", written([("PER: Ann", "PER: Ann")]), ["entity_f1"])
    assert [row.label for row in entities.labels] == ["per"]


def test_nothing_to_measure_is_an_error():
    with pytest.raises(DataError, match="no predictions"):
        measure("qa", [], ["exact_match"])


def odd_rows():
    """Text with every kind of line break that JSON leaves as it is."""
    odd = "a\u2028b\x85c\nd 中文"
    return [Prediction("rows.jsonl:1", odd, (odd, "x"), label="a", scores={"a": 0.25}, gold="a")]


def test_saved_is_loaded(tmp_path):
    for name, rows in (("odd", odd_rows()), ("plain", odd_rows() * 3)):
        found = measure("qa", rows, ["exact_match", "accuracy"], seconds=1.5, prompt_tokens=9)
        save_evaluation(found, tmp_path / name)
        assert load_evaluation(tmp_path / name) == found


def test_saving_leaves_other_files_alone(tmp_path):
    (tmp_path / "adapter.safetensors").write_text("weights")
    save_evaluation(measure("qa", odd_rows(), ["exact_match"]), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "adapter.safetensors",
        "evaluation.json",
        "predictions.jsonl",
    ]


def test_the_record_holds_no_text_of_rows(tmp_path):
    save_evaluation(measure("qa", odd_rows(), ["exact_match"]), tmp_path)
    assert "中文" not in (tmp_path / "evaluation.json").read_text()
    assert json.loads((tmp_path / "evaluation.json").read_text())["rows"] == 1


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    found = measure("qa", odd_rows(), ["exact_match"])
    save_evaluation(found, tmp_path)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        save_evaluation(measure("other", odd_rows() * 2, ["exact_match"]), tmp_path)
    monkeypatch.undo()
    assert load_evaluation(tmp_path) == found
    assert len(list(tmp_path.iterdir())) == 2


def test_a_missing_evaluation_is_named(tmp_path):
    with pytest.raises(StorageError, match=r'holds no evaluation \("evaluation.json" is missing\)'):
        load_evaluation(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("evaluation.json", b"{", "is damaged; evaluate again"),
        ("evaluation.json", b"[]", "is damaged; evaluate again"),
        ("evaluation.json", b"\xff", "is damaged; evaluate again"),
        ("predictions.jsonl", b"{}\n", "is damaged; evaluate again"),
        ("predictions.jsonl", b"", "is not what"),
    ],
)
def test_a_damaged_evaluation_is_refused(file, content, message, tmp_path):
    save_evaluation(measure("qa", odd_rows(), ["exact_match"]), tmp_path)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(StorageError, match=message) as caught:
        load_evaluation(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_predictions_of_another_evaluation_are_refused(tmp_path):
    save_evaluation(measure("qa", odd_rows(), ["exact_match"]), tmp_path)
    text = (tmp_path / "predictions.jsonl").read_text().replace("0.25", "0.75")
    (tmp_path / "predictions.jsonl").write_text(text)
    with pytest.raises(StorageError, match=r'"predictions.jsonl" in .* is not what'):
        load_evaluation(tmp_path)
