"""A teacher's answers and distributions as steps of the workshop: what is written, what is left
out, what is refused, and that an interrupted step ends with the bytes of a whole one."""

import json
import math

import pytest

from pretune.api import Workbench, label_rows, labelling, soften_rows
from pretune.api.local_teacher import LocalTeacher
from pretune.bases.fakes import save_tiny
from pretune.core.errors import DataError, SpecError
from pretune.core.origin import content_id
from pretune.data.dataset import prepare
from pretune.data.softlabels import SoftKind, SoftLabels
from pretune.data.workshop.lineage import read_lineage
from pretune.spec.task import parse_task
from pretune.training.loop import Start

ROWS = [{"text": f"{way} {n}", "label": way} for way in ("up", "down") for n in range(8)]


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    root = tmp_path_factory.mktemp("bases")
    return {
        "small": save_tiny(root / "small", num_hidden_layers=1),
        "large": save_tiny(root / "large", seed=1),
    }


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "rows.jsonl", ROWS)
    write(tmp_path / "held.jsonl", [{"text": "up 20", "label": "up"}])
    return tmp_path


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def read(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def task_of(folder, bases, **changes):
    value = {
        "name": "way",
        "base": str(bases["small"]),
        "data": {"train": "rows.jsonl", "validation": "held.jsonl"},
        "template": {"user": "{text}", "target": "{label}"},
        "labels": ["up", "down"],
        "method": {"name": "lora", "rank": 2},
        "train": {"epochs": 1, "batch_size": 8},
        "teacher": {"base": str(bases["large"]), "soft": "soft.jsonl"},
        **changes,
    }
    return parse_task({key: one for key, one in value.items() if one is not None}, folder=folder)


def free(folder, bases, **changes):
    """The same as a task of free answers."""
    return task_of(folder, bases, **({"labels": None, "generate": {"max_new_tokens": 4}} | changes))


def test_answers_are_synthetic_rows_of_known_parents(folder, bases):
    asked = [{"text": f"way {n}", "place": "Oslo"} for n in range(5)]
    write(folder / "asked.jsonl", [*asked, {"text": "told", "label": "up"}, {"txt": "x"}])
    task = task_of(folder, bases)
    done = label_rows(task, [folder / "asked.jsonl"], folder / "answered.jsonl")
    assert done.counts == {
        "answered": 5,
        "left out: has an answer": 1,
        "left out: missing column": 1,
    }
    found = read(folder / "answered.jsonl")
    workbench = Workbench.open(task.base.model_copy(update={"name": str(bases["large"])}))
    write(folder / "told.jsonl", [{**row, "label": "up"} for row in asked])
    told = task_of(folder, bases, data={"train": "told.jsonl", "validation": "held.jsonl"})
    examples = prepare(told, workbench.base.renderer).train
    expected = {
        one.row_id.partition(":")[2]: one for one in workbench.evaluate(task, examples).predictions
    }
    for n, row in enumerate(found):
        assert row["text"] == f"way {n}"
        assert row["place"] == "Oslo"
        scores = expected[str(n + 1)].scores
        assert row["label"] == max(scores, key=scores.__getitem__)
        assert row["_confidence"] == pytest.approx(max(scores.values()), rel=1e-4)
        origin = row["_origin"]
        assert (origin["kind"], origin["step"]) == ("synthetic", "label")
        assert origin["parent"] == content_id(asked[n]) == origin["root"]
    (line,) = read_lineage(folder)
    assert line["settings"]["teacher"]["base"] == workbench.base.digest
    assert line["settings"]["teacher"]["adapter"] is None


def test_answers_that_are_not_sure_are_left_out(folder, bases):
    write(folder / "asked.jsonl", [{"text": f"way {n}"} for n in range(9)])
    task = task_of(folder, bases)
    label_rows(task, [folder / "asked.jsonl"], folder / "all.jsonl")
    sure = sorted(row["_confidence"] for row in read(folder / "all.jsonl"))
    some = sorted(set(sure))
    least = sum(some[len(some) // 2 - 1 :][:2]) / 2
    kept = sum(one > least for one in sure)
    assert 0 < kept < 9
    done = label_rows(task, [folder / "asked.jsonl"], folder / "some.jsonl", least=least)
    assert done.counts == {"answered": kept, "left out: not sure enough": 9 - kept}
    assert min(row["_confidence"] for row in read(folder / "some.jsonl")) >= least
    with pytest.raises(SpecError, match=r'confidence "1\.5" is not from 0 to 1'):
        label_rows(task, [folder / "asked.jsonl"], folder / "none.jsonl", least=1.5)


def test_free_answers(folder, bases):
    write(folder / "asked.jsonl", [{"text": f"way {n}"} for n in range(6)])
    task = free(folder, bases)
    done = label_rows(task, [folder / "asked.jsonl"], folder / "answered.jsonl")
    assert sum(done.counts.values()) == 6
    for row in read(folder / "answered.jsonl"):
        assert row["label"].strip()
        assert 0 < row["_confidence"] < 1
    two = free(folder, bases, template={"user": "{text}", "target": "{label}: {why}"})
    with pytest.raises(SpecError, match=r'target "\{label\}: \{why\}" is not one column'):
        label_rows(two, [folder / "asked.jsonl"], folder / "other.jsonl")


def test_soft_labels_are_the_teachers_scores(folder, bases):
    task = task_of(folder, bases)
    assert soften_rows(task).counts == {"softened": 16}
    soft = SoftLabels(folder / "soft.jsonl")
    assert (soft.header.kind, soft.header.labels) == (SoftKind.LABELS, ("up", "down"))
    workbench = Workbench.open(task.base.model_copy(update={"name": str(bases["large"])}))
    rows = prepare(task, workbench.base.renderer).train
    for prediction, one in zip(
        workbench.evaluate(task, rows).predictions, soft.read(rows), strict=True
    ):
        masses = [math.exp(score) for score in one.scores[0]]
        assert [mass / sum(masses) for mass in masses] == pytest.approx(
            list(prediction.scores.values()), rel=1e-3
        )


@pytest.mark.parametrize("make", [task_of, free])
def test_a_student_learns_from_a_run(make, folder, bases):
    """A teacher of all tokens on the same base, and a student of the prompt alone."""
    teacher = make(
        folder, bases, scope="all", teacher=None, train={"epochs": 6, "learning_rate": 0.02}
    )
    workbench = Workbench.open(teacher.base)
    workbench.train(teacher, folder / "runs/big")
    student = make(folder, bases, teacher={"adapter": "runs/big", "soft": "soft.jsonl"})
    soften_rows(student)
    run = workbench.train(student, folder / "runs/small")
    steps = [line for line in read(run.folder.log) if line["kind"] == "train.step"]
    assert {"hard", "soft", "loss"} <= set(steps[0])
    assert steps[0]["loss"] == pytest.approx(
        0.1 * steps[0]["hard"] + 0.9 * 4 * steps[0]["soft"], rel=1e-4
    )
    plain = workbench.train(make(folder, bases, teacher=None), folder / "runs/plain")
    assert plain.adapter.digest != run.adapter.digest
    again = workbench.train(student, folder / "runs/small", start=Start.RESUME)
    assert again.adapter.digest == run.adapter.digest


def test_interrupted_is_uninterrupted(folder, bases, monkeypatch):
    monkeypatch.setattr(labelling, "_UNIT", 3)
    whole, broken = (
        task_of(folder, bases, teacher={"base": str(bases["large"]), "soft": name})
        for name in ("whole/soft.jsonl", "broken/soft.jsonl")
    )
    soften_rows(whole)
    asked = []
    real = LocalTeacher.label_scores

    def score(self, prompts, labels):
        if len(asked) == 3 and not resumed:
            raise KeyboardInterrupt
        asked.append([one.row_id for one in prompts])
        return real(self, prompts, labels)

    monkeypatch.setattr(LocalTeacher, "label_scores", score)
    resumed = False
    with pytest.raises(KeyboardInterrupt):
        soften_rows(broken)
    assert not (folder / "broken/soft.jsonl").exists()
    resumed = True
    done = soften_rows(broken)
    assert done.resumed_at == 4  # the header and three units
    flat = [row for unit in asked for row in unit]
    assert len(flat) == len(set(flat)) == 16, "nothing is asked twice"
    for name in ("soft.jsonl", "lineage.jsonl"):
        assert (folder / "broken" / name).read_bytes() == (folder / "whole" / name).read_bytes()


def test_a_kill_loses_no_more_than_the_rows_under_way(folder, bases, monkeypatch):
    """Each unit is on the disk before the next is asked."""
    monkeypatch.setattr(labelling, "_UNIT", 3)
    safe = []
    real = LocalTeacher.label_scores

    def score(self, prompts, labels):
        journal = folder / "soft.jsonl.part.json"
        safe.append(json.loads(journal.read_text())["units"] if journal.exists() else 0)
        return real(self, prompts, labels)

    monkeypatch.setattr(LocalTeacher, "label_scores", score)
    soften_rows(task_of(folder, bases))
    assert safe == [0, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("teacher", "error", "words"),
    [
        (None, SpecError, 'task "way" names no file for soft labels; add'),
        ({"base": "embedded"}, SpecError, "names no file for soft labels"),
        ({"soft": "soft.jsonl"}, SpecError, 'names no teacher to ask; add "teacher: {adapter'),
    ],
)
def test_nobody_to_ask(teacher, error, words, folder, bases):
    with pytest.raises(error, match=words):
        soften_rows(task_of(folder, bases, teacher=teacher))


def test_a_teacher_of_other_labels(folder, bases):
    write(folder / "other.jsonl", [{**row, "label": row["label"][0]} for row in ROWS])
    other = task_of(
        folder, bases, teacher=None, labels=["u", "d"],
        data={"train": "other.jsonl", "validation_share": 0.3},
    )  # fmt: skip
    Workbench.open(other.base).train(other, folder / "runs/other")
    task = task_of(folder, bases, teacher={"adapter": "runs/other", "soft": "soft.jsonl"})
    with pytest.raises(DataError, match='other labels: the teacher alone has "u", "d"; the task'):
        soften_rows(task)
    with pytest.raises(DataError, match="other labels"):
        label_rows(task, [folder / "rows.jsonl"], folder / "answered.jsonl")
    assert not (folder / "soft.jsonl").exists()


def test_another_vocabulary_is_fine_for_labels_and_refused_for_tokens(folder, bases):
    teacher = {"base": "embedded", "soft": "soft.jsonl"}
    task = task_of(folder, bases, teacher=teacher)
    assert soften_rows(task).counts == {"softened": 16}
    Workbench.open(task.base).train(task, folder / "run")
    with pytest.raises(DataError, match=r"the teacher has another tokenizer .* token 17 of one"):
        soften_rows(free(folder, bases, teacher=teacher), overwrite=True)


def test_soft_labels_of_other_rows_or_another_template(folder, bases):
    soften_rows(task_of(folder, bases))
    other = task_of(folder, bases, template={"user": "Where? {text}", "target": "{label}"})
    workbench = Workbench.open(other.base)
    with pytest.raises(DataError, match=r"nothing for row rows\.jsonl:1 and 15 other rows, of 16"):
        workbench.train(other, folder / "runs/other")
    write(folder / "rows.jsonl", [*ROWS, {"text": "new", "label": "up"}])
    with pytest.raises(DataError, match=r"nothing for row rows\.jsonl:17, of 17"):
        workbench.train(task_of(folder, bases), folder / "runs/more")


def test_no_soft_labels_yet(folder, bases):
    task = task_of(folder, bases)
    with pytest.raises(DataError, match=r"no file of soft labels .*pretune data soften"):
        Workbench.open(task.base).train(task, folder / "runs/early")
