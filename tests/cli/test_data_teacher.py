"""``pretune data label`` and ``soften``: from a teacher's run to a student that learned from it."""

import json

import pytest

from cli.conftest import ROWS, write_rows


@pytest.fixture
def student(task, run):
    """A task whose teacher is a run of the task beside it."""
    assert run("train", task, "--out", "runs/large").code == 0
    write_rows(task.parent / "asked.jsonl", [{"text": row["text"]} for row in ROWS[1::4]])
    text = task.read_text("utf-8") + "teacher: {adapter: runs/large, soft: soft.jsonl}\n"
    path = task.parent / "small.yaml"
    path.write_text(text.replace("rows.jsonl", "[rows.jsonl, answered.jsonl]"), "utf-8")
    return path


def test_the_way_from_a_teacher_to_its_student(run, student):
    # Rows that validation asks too are answered, and left out of the training by prepare.
    labelled = run("data", "label", student, "asked.jsonl", "--out", "answered.jsonl", "--json")
    assert labelled.json["counts"] == {"answered": 12}
    softened = run("data", "soften", student)
    assert "soft.jsonl: 37 rows" in softened.out  # 24 rows, 12 answered, and the first line
    trained = run("train", student, "--json")
    assert trained.code == 0
    lines = (student.parent / "lineage.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == ["label", "soften"]
    again = run("data", "soften", student)
    assert (again.code, "replace it: --overwrite" in again.err) == (8, True)
    assert run("data", "soften", student, "--overwrite").code == 0


@pytest.mark.parametrize(
    ("change", "arguments", "code", "said"),
    [
        ((), ("train",), 3, "no file of soft labels"),
        (("runs/large", "runs/lerge"), ("data", "soften"), 5, "runs/lerge"),
        ((", soft: soft.jsonl", ""), ("data", "soften"), 2, "no file for soft labels"),
        (("soft.jsonl}", "soft.jsonl, temperature: 0}"), ("train",), 2, "teacher.temperature"),
    ],
)
def test_mistakes_end_in_words(run, student, change, arguments, code, said):
    write_rows(student.parent / "answered.jsonl", ROWS[:2])
    if change:
        student.write_text(student.read_text("utf-8").replace(*change), "utf-8")
    ran = run(*arguments, student)
    assert (ran.code, said in ran.err) == (code, True), ran.err
    assert ROWS[0]["text"] not in ran.out + ran.err
