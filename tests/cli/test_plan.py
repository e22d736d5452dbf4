"""``pretune plan`` on a tiny base: goals, memory, and what is refused."""

import json

import pytest

from pretune.api import plans, tasks
from pretune.training.estimate.records import HISTORY

QUICK = ("--no-base", "--no-dry-run")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PRETUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def edit_task(task, old, new):
    text = task.read_text(encoding="utf-8")
    assert old in text
    task.write_text(text.replace(old, new), encoding="utf-8")


def test_the_whole_way(run, task, cache):
    """The base is measured, two steps are trained, and what they took is kept."""
    edit_task(task, "labels:", 'goals: ["accuracy >= 0.6", "train_hours < 1"]\nlabels:')
    ran = run("plan", task, "--json")
    assert ran.code == 0, ran.err
    found = ran.json
    accuracy, hours = found["goals"]
    assert accuracy["prospect"] == "too few rows"
    assert accuracy["rows"] == found["rows"]["test"]
    assert accuracy["base"]["low"] <= accuracy["base"]["value"] <= accuracy["base"]["high"]
    assert hours["prospect"] == "expected to be met"
    resources = found["resources"]
    assert resources["source"] == "measured by two steps"
    assert resources["memory_bytes"]["expected"] == pytest.approx(
        resources["dry_run"]["peak"], rel=1e-3
    )
    (line,) = (cache / HISTORY).read_text().splitlines()
    assert json.loads(line)["measured"]["peak"] == resources["dry_run"]["peak"]
    assert str(task.parent) not in line


def test_text_and_evidence(run, task):
    edit_task(task, "labels:", 'goals: [{need: sort mail, goal: "accuracy >= 0.6"}]\nlabels:')
    ran = run("plan", task, "--why", *QUICK)
    assert ran.code == 0, ran.err
    assert "sort mail: accuracy >= 0.6" in ran.out
    assert "reckoned from shapes" in ran.out
    assert "[README.md, Quality" in " ".join(ran.out.split())
    assert "[README.md, Quality" not in " ".join(run("plan", task, *QUICK).out.split())


def test_what_does_not_fit_and_the_way_out(run, task):
    ran = run("plan", task, "--memory", "0.2", "--json", *QUICK)
    assert ran.code == 10
    resources = ran.json["resources"]
    assert resources["fit"] == "does not fit"
    assert resources["together"] is None  # the libraries alone take more
    assert {one["change"] for one in resources["knobs"]} >= {"train: {micro_batch_size: 4}"}
    ran = run("plan", task, "--memory", "0.2", *QUICK)
    assert "even all of them together do not fit" in ran.out


def test_memory_that_is_no_size(run, task):
    ran = run("plan", task, "--memory", "inf", *QUICK)
    assert ran.code == 2
    assert '"--memory inf" is no size; give a number of GB' in " ".join(ran.err.split())


def test_where_free_memory_is_not_known(run, task, monkeypatch):
    monkeypatch.setattr(plans, "room_on", lambda device: None)
    ran = run("plan", task, "--json", *QUICK)
    assert ran.code == 0, ran.err
    assert ran.json["resources"]["room_bytes"] is None
    assert "room for it: not known" in run("plan", task, *QUICK).out


def test_a_latency_below_the_floor(run, task):
    edit_task(task, "labels:", 'goals: ["p99_latency_ms < 0.000001"]\nlabels:')
    ran = run("plan", task, *QUICK)
    assert ran.code == 10
    assert "cannot be met" in ran.out
    assert "the products alone take" in ran.out


@pytest.mark.parametrize(
    ("goals", "words"),
    [
        ('"acuracy > 0.5"', 'unknown metric "acuracy"; did you mean "accuracy"?'),
        ('"accuracy > 0.9", "accuracy < 0.8"', 'no value of "accuracy" meets both'),
        ('"accuracy > 0.5 where text = nothing"', 'none of the rows has "nothing"'),
        ('"accuracy > 0.5 where txt = a"', 'unknown column "txt"; did you mean "text"?'),
        ('"accuracy > 85"', "did you mean 0.85?"),
    ],
)
def test_goals_that_make_no_sense(run, task, goals, words):
    edit_task(task, "labels:", f"goals: [{goals}]\nlabels:")
    ran = run("plan", task, *QUICK)
    assert ran.code == 2
    assert words in " ".join(ran.err.split())
    assert "Traceback" not in ran.err


def test_slices_are_checked_by_eval_too(run, task):
    edit_task(task, "labels:", 'goals: ["accuracy >= 0.99 where label = card"]\nlabels:')
    ran = run("eval", task, "--json")
    (goal,) = ran.json["goals"]
    assert goal["goal"] == "accuracy >= 0.99 where label = card"
    assert goal["outcome"] in ("pass", "fail", "undecided")


@pytest.mark.parametrize("command", ["eval", "train"])
def test_a_slice_without_rows_is_refused_before_anything_is_done(run, task, monkeypatch, command):
    monkeypatch.setattr(tasks.Workbench, "open", lambda *_: pytest.fail("a base was loaded"))
    edit_task(task, "labels:", 'goals: ["accuracy >= 0.9 where label = loam"]\nlabels:')
    ran = run(command, task)
    assert ran.code == 2
    assert 'none of the rows has "loam"' in " ".join(ran.err.split())


def test_weights_that_cannot_be_reached(run, task):
    ran = run("plan", task, "--unreachable", *QUICK)
    assert "method: none" in ran.out
