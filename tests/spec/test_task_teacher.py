"""The teacher section: what it may say, where its paths lie, and that tasks without one stay what
they were."""

import pytest
import yaml

from pretune.core.digest import of_json
from pretune.core.errors import SpecError
from pretune.spec.dump import dump_task
from pretune.spec.task import load_task, parse_task
from pretune.spec.task_teacher import TaskTeacher

TASK = {
    "name": "t",
    "data": {"train": "rows.jsonl"},
    "template": {"user": "{text}", "target": "{label}"},
    "labels": ["low", "high"],
}


def task(teacher, folder=None):
    return parse_task({**TASK, "teacher": teacher}, folder=folder)


def test_paths_lie_beside_the_task(tmp_path):
    spec = task({"adapter": "runs/big", "base": "./big", "soft": "soft.jsonl"}, tmp_path)
    assert spec.teacher is not None
    assert spec.teacher.adapter == tmp_path / "runs/big"
    assert spec.teacher.soft == tmp_path / "soft.jsonl"
    assert spec.teacher.base is not None
    assert spec.teacher.base.name == str(tmp_path / "big")
    assert (spec.teacher.temperature, spec.teacher.weight) == (2.0, 0.9)
    assert task("runs/big", tmp_path).teacher == TaskTeacher(adapter=tmp_path / "runs/big")


def test_a_dumped_teacher_is_read_back(tmp_path):
    spec = task({"adapter": "runs/big", "soft": "soft.jsonl", "temperature": 3.0}, tmp_path)
    (tmp_path / "runs/t").mkdir(parents=True)
    path = tmp_path / "runs/t/task.yaml"
    path.write_text(dump_task(spec, path.parent), "utf-8")
    assert yaml.safe_load(path.read_text())["teacher"] == {
        "adapter": "../big",
        "soft": "../../soft.jsonl",
        "temperature": 3.0,
    }
    again = load_task(path)
    assert again.teacher is not None
    assert again.teacher.soft is not None
    assert again.teacher.soft.resolve() == (tmp_path / "soft.jsonl").resolve()
    assert again.digest() == spec.digest()


def test_digests():
    plain = parse_task(TASK)
    assert "teacher" not in dump_task(plain)
    # As it was before a task could have a teacher, privacy or a beginning: it keeps its name.
    later = {"teacher": True, "begin_with": True, "train": {"privacy"}}
    value = plain.model_dump(mode="json", exclude=later)
    value["data"] |= {"train": ["rows.jsonl"], "validation": [], "test": []}
    assert plain.digest() == of_json(value)
    told = task({"soft": "a/soft.jsonl"})
    assert told.digest() != plain.digest()
    assert told.digest() == task({"soft": "b/soft.jsonl"}).digest()
    assert told.digest() != task({"soft": "a/soft.jsonl", "weight": 0.5}).digest()


@pytest.mark.parametrize(
    ("teacher", "words"),
    [
        ({}, 'teacher: name the teacher: "adapter" or "base", or its "soft" labels'),
        ({"adaptor": "x"}, 'unknown key "adaptor"; did you mean "adapter"'),
        ({"adapter": "x", "weight": 0.5}, '"weight" is about soft labels, and none are named'),
        ({"soft": "s.jsonl", "temperature": 0}, r"teacher\.temperature: .*0"),
        ({"soft": "s.jsonl", "temperature": float("nan")}, r"teacher\.temperature"),
        ({"soft": "s.jsonl", "weight": 1.5}, r"teacher\.weight: .*1"),
        ({"soft": "s.jsonl", "weight": 0}, r"teacher\.weight: .*0"),
    ],
)
def test_mistakes(teacher, words):
    with pytest.raises(SpecError, match=words):
        task(teacher)
