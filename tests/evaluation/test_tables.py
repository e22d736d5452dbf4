import pytest

from pretune.core.errors import DataError
from pretune.core.records import Prediction
from pretune.evaluation.tables import (
    Confusion,
    LabelRow,
    confusions,
    entity_table,
    label_table,
    top_confusions,
)

PAIRS = [("a", "a"), ("a", "a"), ("a", "b"), ("b", "b"), ("b", None), ("c", "a")]


def test_label_table_by_hand(labelled):
    assert label_table(labelled(PAIRS)) == (
        LabelRow("a", pytest.approx(2 / 3), pytest.approx(2 / 3), pytest.approx(2 / 3), 3),
        LabelRow("b", 0.5, 0.5, 0.5, 2),
        LabelRow("c", 0.0, 0.0, 0.0, 1),
    )


def test_confusions_count_every_row(labelled):
    pairs = confusions(labelled(PAIRS))
    assert sum(pair.count for pair in pairs) == len(PAIRS)
    assert Confusion("a", "a", 2) in pairs
    assert Confusion("b", "", 1) in pairs


def test_top_confusions_are_mistakes_most_frequent_first(labelled):
    pairs = confusions(labelled([*PAIRS, ("c", "a")]))
    assert top_confusions(pairs, 2) == (Confusion("c", "a", 2), Confusion("a", "b", 1))


def test_entity_table_by_hand(written):
    rows = written([("PER: Ann; ORG: Acme", "PER: Ann, Bo"), ("so: what", "无")])
    assert entity_table(rows) == (LabelRow("per", 1.0, 0.5, pytest.approx(2 / 3), 2),)
    assert entity_table(written([("none", "无")])) == ()


def test_rows_without_labels_are_refused():
    rows = [Prediction("rows.jsonl:1", "x", ("x",))]
    with pytest.raises(DataError, match='"label table" needs labels'):
        label_table(rows)
    with pytest.raises(DataError, match='"confusions" needs labels'):
        confusions(rows)
