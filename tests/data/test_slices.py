import json

import pytest

from pretune.core.errors import SpecError, UnknownName
from pretune.data.slices import slices_of
from pretune.spec.task import parse_task


def task(folder, *goals):
    rows = [
        {"text": f"row {n}", "label": "low", "lang": "zh" if n < 3 else "en", "n": n % 2}
        for n in range(8)
    ]
    rows.append({"text": "without", "label": "nonsense", "lang": "fr"})
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    value = {
        "data": {"train": "rows.jsonl"},
        "template": {"system": "How?", "user": "{text}", "target": "{label}"},
        "labels": ["low", "high"],
        "goals": list(goals),
    }
    return parse_task(value, name="t", folder=folder)


def test_rows_of_a_slice_by_text_and_by_number(tmp_path):
    spec = task(tmp_path, "f1 > 0 where lang = zh", "f1 > 0 where lang = en and n = 1", "f1 > 0")
    slices = slices_of(spec)
    ids = [slices.rows(goal) for goal in spec.goals]
    assert ids[0] == {f"rows.jsonl:{line}" for line in (1, 2, 3)}
    assert ids[1] == {f"rows.jsonl:{line}" for line in (4, 6, 8)}
    assert ids[2] is None


@pytest.mark.parametrize("value", ["de", "fr"])
def test_a_slice_without_usable_rows(tmp_path, value):
    with pytest.raises(SpecError) as caught:
        slices_of(task(tmp_path, f"f1 > 0.5 where lang = {value}"))
    said = str(caught.value)
    assert f'none of the rows has "{value}" in column "lang"' in said
    assert "zh" not in said  # cells are the user's text


def test_a_column_that_no_row_has(tmp_path):
    with pytest.raises(UnknownName, match='unknown column "lnag"; did you mean "lang"'):
        slices_of(task(tmp_path, "f1 > 0.5 where lnag = zh"))


def test_files_are_not_read_without_slices(tmp_path):
    spec = task(tmp_path, "f1 > 0.5")
    (tmp_path / "rows.jsonl").unlink()
    assert slices_of(spec).rows(spec.goals[0]) is None


def test_a_slice_does_not_take_in_the_same_line_of_another_split(tmp_path):
    for split, languages in (("train", ["en", "zh"]), ("test", ["zh", "en"])):
        (tmp_path / split).mkdir()
        rows = [{"text": f"{split} {one}", "label": "low", "lang": one} for one in languages]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / split / "data.jsonl").write_text(lines)
    value = {
        "data": {"train": "train/data.jsonl", "test": "test/data.jsonl"},
        "template": {"system": "How?", "user": "{text}", "target": "{label}"},
        "labels": ["low", "high"],
        "goals": ["accuracy > 0 where lang = zh"],
    }
    spec = parse_task(value, name="t", folder=tmp_path)
    assert slices_of(spec).rows(spec.goals[0]) == {"train/data.jsonl:2", "test/data.jsonl:1"}
