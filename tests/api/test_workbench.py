"""The parts wired together: what a run's folder holds, and what a refused run leaves alone."""

import json

import pytest

from pretune import parse_task
from pretune.api import Workbench
from pretune.api.workbench import Question, sample, start_text
from pretune.bases.fakes import tiny_base
from pretune.core.errors import BusyError, DataError, TrainingError
from pretune.core.files import folder_lock
from pretune.core.records import TokenExample
from pretune.core.segments import Role, TokenSegment
from pretune.training.loop import Start


@pytest.fixture
def bench():
    return Workbench(tiny_base(num_hidden_layers=1))


@pytest.fixture
def task(tmp_path):
    rows = [
        {"text": f"{word} {n}", "label": word, "answer": word * 2}
        for word in ("up", "down")
        for n in range(12)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(lines, encoding="utf-8")

    def make(**changes):
        value = {
            "name": "way",
            "data": {"train": "rows.jsonl", "validation_share": 0.3},
            "template": {"system": "Which way?", "user": "{text}", "target": "{label}"},
            "labels": ["up", "down"],
            "method": {"name": "lora", "rank": 2},
            "train": {"epochs": 1, "batch_size": 8},
        }
        return parse_task(value | changes, folder=tmp_path)

    return make


def test_a_run_leaves_what_its_record_says(bench, task, tmp_path):
    run = bench.train(task(), tmp_path / "run")
    record = json.loads((tmp_path / "run/run.json").read_text(encoding="utf-8"))
    assert record == run.record()
    assert (tmp_path / "run" / record["adapter"] / "manifest.json").is_file()
    lines = run.folder.log.read_text(encoding="utf-8").splitlines()
    kinds = [json.loads(line)["kind"] for line in lines]
    assert kinds[0] == "train.start"
    assert "train.validation" in kinds
    assert kinds[-1] == "train.done"
    assert any((tmp_path / "run/tensorboard").iterdir())
    report = json.loads((tmp_path / "run/data/report.json").read_text(encoding="utf-8"))
    assert report["digest"] == run.adapter.notes["data"]


def test_a_private_run_says_its_promise_and_not_the_digest_of_its_rows(bench, task, tmp_path):
    train = {"epochs": 1, "batch_size": 8, "privacy": {"epsilon": 20}}
    run = bench.train(task(train=train), tmp_path / "run")
    record = json.loads((tmp_path / "run/run.json").read_text(encoding="utf-8"))
    manifest = (tmp_path / "run" / record["adapter"] / "manifest.json").read_text(encoding="utf-8")
    assert json.loads(manifest)["notes"]["privacy"] == record["privacy"]
    assert 19 < record["privacy"]["epsilon"] <= 20
    # Who knows all rows but one could try that one until such a digest fits.
    assert run.data.digest not in manifest


def test_the_watched_metric_is_the_served_one(bench, task, tmp_path):
    run = bench.train(task(), tmp_path / "run")
    measured = bench.evaluate(task(), run.data.validation, run.adapter)
    best = run.result.best.metrics
    assert {name: one.value for name, one in measured.metrics.items()} == dict(best)


def test_a_refused_run_changes_nothing(bench, task, tmp_path):
    bench.train(task(), tmp_path / "run")
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    other = task(template={"system": "Another.", "user": "{text}", "target": "{label}"})
    with pytest.raises(BusyError, match="already holds a training"):
        bench.train(other, tmp_path / "run")
    with (
        folder_lock(tmp_path / "run", "training"),
        pytest.raises(BusyError, match="another process is training"),
    ):
        bench.train(other, tmp_path / "run", start=Start.OVERWRITE)
    assert {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()} == before


def test_a_refused_resume_changes_nothing(bench, task, tmp_path):
    bench.train(task(), tmp_path / "run")
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    other = task(template={"system": "Another.", "user": "{text}", "target": "{label}"})
    with pytest.raises(TrainingError, match=r"cannot resume: .* rows was"):
        bench.train(other, tmp_path / "run", start=Start.RESUME)
    assert {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()} == before


def test_other_validation_rows_are_no_resume(bench, task, tmp_path):
    # The best so far was measured on the old ones; what is measured now does not compare.
    held = {"train": "rows.jsonl", "validation": "held.jsonl"}
    for number in (1, 2):
        row = json.dumps({"text": f"up and up {number}", "label": "up"})
        (tmp_path / "held.jsonl").write_text(row, encoding="utf-8")
        if number == 1:
            bench.train(task(data=held), tmp_path / "run")
    with pytest.raises(TrainingError, match="cannot resume: validation rows was"):
        bench.train(task(data=held), tmp_path / "run", start=Start.RESUME)


def test_what_is_being_overwritten_is_no_finished_run(bench, task, tmp_path):
    class Killed(Exception):
        pass

    class KillAtAStep:
        def emit(self, event):
            if event.kind == "train.step":
                raise Killed

    bench.train(task(), tmp_path / "run")
    other = task(labels={"up": "north", "down": "south"})
    with pytest.raises(Killed):
        bench.train(other, tmp_path / "run", sinks=[KillAtAStep()], start=Start.OVERWRITE)
    # Its adapter was tuned for other words than those that task.yaml now says.
    assert not (tmp_path / "run/run.json").exists()


def test_the_base_is_as_before_whatever_was_trained(bench, task, tmp_path):
    before = {name: value.clone() for name, value in bench.base.model.state_dict().items()}
    bench.train(task(method="full"), tmp_path / "run")
    after = bench.base.model.state_dict()
    assert all(after[name].equal(value) for name, value in before.items())


def test_one_batch_answers_several_tasks(bench, task, tmp_path):
    labels = task()
    free = task(
        name="double",
        labels=None,
        template={"system": "Twice.", "user": "{text}", "target": "{answer}"},
        generate={"max_new_tokens": 4},
    )
    one = bench.train(labels, tmp_path / "a").adapter
    two = bench.train(free, tmp_path / "b").adapter
    row = {"text": "up 3"}
    with bench.mounted(one=one, two=two):
        together = bench.answer(
            [Question(labels, row, "one"), Question(free, row, "two"), Question(free, row, None)]
        )
        alone = [
            bench.answer([question])[0]
            for question in (Question(labels, row, "one"), Question(free, row, "two"))
        ]
    assert together[:2] == alone


def test_a_question_without_its_column(bench, task):
    with pytest.raises(DataError, match=r"question:1: .*text"):
        bench.answer([Question(task(), {"txt": "up"}, None)])


def test_start_text_is_the_instruction_and_the_words(task):
    assert start_text(task()) == "Which way?\nup, down"
    bare = task(template={"user": "{text}", "target": "{label}"})
    assert start_text(bare) == "up, down"


def test_a_sample_depends_on_content_alone():
    def example(row_id, token):
        return TokenExample(row_id, (TokenSegment(Role.USER, (token,)),))

    rows = [example(f"a:{n}", n) for n in range(40)]
    chosen = sample(rows, 10)
    moved = sample([example(f"b:{n}", n) for n in reversed(range(40))], 10)
    assert len(chosen) == 10
    assert [e.segments for e in chosen] == [e.segments for e in moved]
    assert sample(rows, 40) == rows
