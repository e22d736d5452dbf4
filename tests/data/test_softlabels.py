"""Files of soft labels: found by content, held by place alone, and refused by line."""

import json
import math
import tracemalloc

import pytest

from pretune.core.digest import of_json
from pretune.core.errors import DataError
from pretune.core.records import TokenExample
from pretune.data.softlabels import SoftHeader, SoftKind, SoftLabels, SoftRow

LABELS = SoftHeader(SoftKind.LABELS, "t", labels=("a", "b"))
TOKENS = SoftHeader(SoftKind.TOKENS, "t", tokenizer="feed")


def example(n):
    return TokenExample(f"x.jsonl:{n}", (), content=of_json(n))


def label_row(n):
    return SoftRow(f"x.jsonl:{n}", of_json(n), ((-0.1 * n, -2.0),))


TOKEN_ROW = SoftRow("x.jsonl:1", of_json(1), ((-0.1, -2.5), (-0.3, -1.0)), (7, 2), ((7,), (2,)))


def write(path, header, *rows):
    lines = [header.line(), *(row.line() for row in rows)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def test_rows_are_found_by_content(tmp_path):
    path = write(tmp_path / "soft.jsonl", LABELS, *map(label_row, range(5)))
    soft = SoftLabels(path)
    assert soft.header == LABELS
    found = soft.read([example(3), example(0)])
    assert [one.scores for one in found] == [((-0.3, -2.0),), ((0.0, -2.0),)]
    moved = TokenExample("elsewhere:9", (), content=of_json(4))
    assert soft.read([moved])[0].scores[0][0] == pytest.approx(-0.4)


def test_tokens(tmp_path):
    soft = SoftLabels(write(tmp_path / "soft.jsonl", TOKENS, TOKEN_ROW))
    (found,) = soft.read([example(1)])
    assert (found.targets, found.ids, found.scores) == (
        TOKEN_ROW.targets,
        TOKEN_ROW.ids,
        TOKEN_ROW.scores,
    )


def test_a_row_without_a_teacher_is_named(tmp_path):
    soft = SoftLabels(write(tmp_path / "soft.jsonl", LABELS, label_row(1)))
    soft.check([example(1)])
    with pytest.raises(
        DataError,
        match=r"nothing for row x\.jsonl:2 and 1 other rows, of 3: .* other rows or by another "
        r"template.*pretune data soften --overwrite",
    ):
        soft.check([example(1), example(2), example(3)])


def test_no_file(tmp_path):
    (tmp_path / "soft.jsonl").write_text("")
    with pytest.raises(
        DataError,
        match=r'no file of soft labels ".*sift.jsonl"; did you mean "soft.jsonl".* data soften',
    ):
        SoftLabels(tmp_path / "sift.jsonl")


@pytest.mark.parametrize("text", ["", "{}\n", "nonsense\n", '{"text": "row"}\n', "[1]\n"])
def test_another_file(tmp_path, text):
    (tmp_path / "rows.jsonl").write_text(text)
    with pytest.raises(DataError, match="is no file of soft labels"):
        SoftLabels(tmp_path / "rows.jsonl")


@pytest.mark.parametrize(
    ("header", "change", "words"),
    [
        (LABELS, {"scores": [-1.0]}, "line 2: no soft label"),
        (LABELS, {"scores": None}, "line 2: no soft label"),
        (LABELS, {"scores": ["secret", -1.0]}, "line 2: no soft label"),
        (LABELS, {"scores": [math.nan, -1.0]}, 'line 2: the score "nan" is no log-probability'),
        (LABELS, {"scores": [-math.inf, -1.0]}, 'the score "-inf"'),
        (LABELS, {"scores": [0.5, -1.0]}, 'the score "0.5"'),
        (TOKENS, {"targets": [7]}, "line 2: no soft label"),
        (TOKENS, {"targets": [], "ids": [], "scores": []}, "line 2: no soft label"),
        (TOKENS, {"ids": [[7], [2, 3]]}, "line 2: no soft label"),
        (TOKENS, {"scores": [[-0.1, -2.5], [-0.3]]}, "line 2: no soft label"),
        (TOKENS, {"scores": [[-0.1, math.nan], [-0.3, -1]]}, 'the score "nan"'),
    ],
)
def test_broken_lines_are_named_before_training(tmp_path, header, change, words):
    row = label_row(1) if header is LABELS else TOKEN_ROW
    path = write(tmp_path / "soft.jsonl", header)
    path.write_text(path.read_text() + json.dumps(row.line() | change) + "\n")
    with pytest.raises(DataError, match=words) as caught:
        SoftLabels(path)
    assert "secret" not in str(caught.value)


def test_half_a_last_line(tmp_path):
    path = write(tmp_path / "soft.jsonl", LABELS, label_row(1), label_row(2))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="line 3: no soft label"):
        SoftLabels(path)


def test_a_teacher_that_says_nan_is_not_written_down():
    with pytest.raises(DataError, match=r'output for row x:1: the score "nan"'):
        SoftRow("x:1", "00", ((math.nan, -1.0),)).line()


def test_a_file_that_changes_under_a_training(tmp_path):
    path = write(tmp_path / "soft.jsonl", LABELS, label_row(1), label_row(2))
    soft = SoftLabels(path)
    write(path, LABELS, label_row(2), label_row(1))
    with pytest.raises(DataError, match="was changed while it was in use"):
        soft.read([example(2)])


def test_scores_are_not_held(tmp_path):
    names = tuple(map(str, range(500)))
    header = SoftHeader(SoftKind.LABELS, "t", labels=names)
    with (tmp_path / "soft.jsonl").open("w") as file:
        file.write(json.dumps(header.line()) + "\n")
        for n in range(2000):
            row = SoftRow(f"x:{n}", of_json(n), (tuple(-0.001 * k for k in range(500)),))
            file.write(json.dumps(row.line()) + "\n")
    tracemalloc.start()
    soft = SoftLabels(tmp_path / "soft.jsonl")
    assert len(soft.read([example(1999)])) == 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "soft.jsonl").stat().st_size > 5_000_000
    assert peak < 1_500_000
