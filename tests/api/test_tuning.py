"""A search: refused, stopped, killed, resumed; and a task file that trains to its numbers."""

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import pretune
from api.cases_tuning import SMALL, Heard
from pretune.api import foresight, searching, tuned, tuned_served, tuning
from pretune.api.searching import Search
from pretune.api.workbench import Workbench
from pretune.core.errors import (
    BudgetError,
    BusyError,
    GoalMissed,
    MissingExtra,
    PretuneError,
    SpecError,
    StorageError,
    TrainingError,
    UnknownName,
)
from pretune.core.files import folder_lock
from pretune.core.origin import RowKind, made
from pretune.gating.evidence import Load, Measure
from pretune.search.records import Fate, Trial, load_trials, trial_folder
from pretune.spec.privacy import PrivacySpec
from pretune.spec.search import parse_search
from pretune.spec.task import load_task
from pretune.training.history import Validation
from pretune.training.memory import PeakMemory

pytest.importorskip("optuna")


def told(trials):
    """What must be the same however often a search was interrupted."""
    return [(t.number, t.fate, t.says, t.marks, t.value) for t in trials]


def test_the_best_is_a_task_file_that_trains_to_the_same_numbers(task, tmp_path):
    heard = Heard()
    found = pretune.tune(task, tmp_path / "out", SMALL, sinks=[heard])
    assert [trial.number for trial in found.trials] == [0, 1, 2]
    assert found.trials[0].why == "the task as it stands"
    assert found.best.value == max(one.value for one in found.trials)
    again = pretune.train(load_task(found.spec), tmp_path / "again")
    assert again.result.best.metrics == found.best.metrics
    assert [tuple(m) for m in found.best.marks] == [
        (one.step, one.metrics["accuracy"]) for one in again.result.measurements
    ]
    kept = json.loads((found.run / "run.json").read_text())
    assert kept["digest"] == again.adapter.digest  # the very weights
    assert found.test is not None
    version, _ = pretune.register(found.run, tmp_path / "registry")
    assert version.metrics["accuracy"] == found.test
    for name in ("report.md", "report.html", "report.json"):
        assert found.best.says in (tmp_path / "out" / name).read_text("utf-8")
    page = (tmp_path / "out/report.html").read_text("utf-8")
    assert "<script" not in page
    assert "http" not in page
    # Only the adapters that are still of use are kept, and no checkpoint.
    folders = sorted((tmp_path / "out/trials").iterdir())
    kept = [place for place, folder in enumerate(folders) if (folder / "adapters").exists()]
    assert set(kept) == {0, found.best.number}
    assert not list((tmp_path / "out").rglob("checkpoint.safetensors"))
    kinds = [event.kind for event in heard.events]
    assert (kinds[0], kinds[-1]) == ("tune.start", "tune.end")


def test_promises_of_privacy_add_up_over_the_trainings(task, tmp_path):
    private = task.train.model_copy(update={"privacy": PrivacySpec(epsilon=20)})
    found = pretune.tune(task.model_copy(update={"train": private}), tmp_path / "out", SMALL)
    kept = [one.privacy for one in load_trials(tmp_path / "out")]
    assert len(kept) == 3
    epsilon = math.ceil(100 * sum(one.epsilon for one in kept)) / 100
    (note,) = (one for one in found.notes() if "privacy" in one)
    assert f"promises privacy: {found.best.privacy}; but it was chosen among 3 " in note
    assert note.endswith(f"together promise epsilon {epsilon:g}, delta 3e-05")
    assert note in (tmp_path / "out/report.md").read_text("utf-8")
    assert f"{note}; half trained ones are not counted" in "".join(
        replace(found, unfinished=1).notes()
    )
    alone = replace(found, trials=(found.best,)).notes()
    assert f"the best promises privacy: {found.best.privacy}" in alone


def test_a_finished_search_goes_on_with_a_larger_budget_and_trains_nothing_twice(task, tmp_path):
    pretune.tune(task, tmp_path / "out", SMALL.model_copy(update={"trials": 2}))
    heard = Heard()
    found = pretune.tune(task, tmp_path / "out", SMALL, sinks=[heard])
    assert heard.begun() == [(2, 0)]
    whole = pretune.tune(task, tmp_path / "whole", SMALL)
    assert told(found.trials) == told(whole.trials)
    heard = Heard()
    pretune.tune(task, tmp_path / "out", SMALL, sinks=[heard])
    assert heard.begun() == []


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from api.cases_tuning import SMALL, make_task, quicken
import pretune
from pretune.training import loop
quicken()
loop.CHECKPOINT_SECONDS = 0.0
trial, step = map(int, sys.argv[4].split(","))

class Kill:
    def emit(self, event):
        if event.kind == "train.step" and (event.values["trial"], event.step) == (trial, step):
            os.kill(os.getpid(), signal.SIGKILL)

folder = Path(sys.argv[1])
pretune.tune(make_task(folder, Path(sys.argv[2])), folder / "out", SMALL, sinks=[Kill()])
"""


def test_killed_and_resumed_is_uninterrupted(task, tmp_path, base):
    whole = pretune.tune(task, tmp_path / "whole", SMALL)
    arguments = [str(tmp_path), str(base), str(Path(__file__).parents[1])]
    child = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments, "1,4"], capture_output=True, text=True
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert [one.number for one in load_trials(tmp_path / "out")] == [0]
    heard = Heard()
    found = pretune.tune(task, tmp_path / "out", SMALL, sinks=[heard])
    assert heard.begun() == [(1, 3), (2, 0)]  # from its checkpoint, and what was not begun
    assert told(found.trials) == told(whole.trials)
    assert found.best == whole.best.model_copy(
        update={"seconds": found.best.seconds, "peak_memory_bytes": found.best.peak_memory_bytes}
    )


def test_a_torn_journal_is_mended(task, tmp_path):
    pretune.tune(task, tmp_path / "out", SMALL.model_copy(update={"trials": 1}))
    whole = pretune.tune(task, tmp_path / "whole", SMALL)
    journal = tmp_path / "out/journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    # As if killed while the end of the trial was told, in the middle of the line.
    (told_at,) = [place for place, line in enumerate(lines) if b'"values":[' in line]
    journal.write_bytes(b"".join(lines[:told_at]) + lines[told_at][:7])
    heard = Heard()
    found = pretune.tune(task, tmp_path / "out", SMALL, sinks=[heard])
    assert heard.begun() == [(1, 0), (2, 0)]
    assert told(found.trials) == told(whole.trials)


def test_losers_are_stopped_at_their_first_measurement(task, tmp_path, monkeypatch):
    """Bottlenecks are bad here, by a metric that says so."""

    def validation(self, spec, examples):
        value = 0.9 if spec.method.name == "lora" else 0.1
        return Validation(lambda: {"accuracy": value}, "accuracy")

    monkeypatch.setattr(Workbench, "_validation", validation)
    found = pretune.tune(task, tmp_path / "out", SMALL)
    fates = {one.knobs["method"]: (one.fate, len(one.marks)) for one in found.trials}
    assert fates["lora"][0] is Fate.FINISHED
    assert fates["bottleneck"] == (Fate.STOPPED, 1)
    stopped = next(one for one in found.trials if one.fate is Fate.STOPPED)
    assert "accuracy 0.100 at step" in stopped.reason
    assert found.best.knobs["method"] == "lora"
    # What is stopped is over: nothing goes on with it.
    heard = Heard()
    pretune.tune(task, tmp_path / "out", SMALL, sinks=[heard])
    assert heard.begun() == []


def test_a_goal_rules_configurations_out_before_training(task, tmp_path):
    # LoRA adds rank x (in + out) float32 to q, k, v, o, gate, up and down: 64, 48, 48, 64 and three
    # times 96 wide. That is 4.1 kB at rank 2 and 8.2 kB at rank 4.
    limited = task.model_copy(update={"goals": _goals("adapter_mb < 0.006")})
    found = pretune.tune(limited, tmp_path / "out", SMALL)
    sizes = {(one.knobs["method"], one.knobs["rank"]) for one in found.trials if one.trained}
    assert ("lora", "2") in sizes
    assert ("lora", "4") not in sizes
    refused = [one for one in found.trials if one.fate is Fate.REFUSED and "goal" in one.reason]
    assert refused
    assert 'goal "adapter_mb < 0.006" cannot be met' in refused[0].reason
    assert not (tmp_path / f"out/trials/{refused[0].number:04d}/run.json").exists()


def _goals(*texts):
    from pretune.spec.goals import Goal

    return tuple(Goal.model_validate(text) for text in texts)


def test_a_latency_below_the_floor_is_said_before_training(task, tmp_path):
    heard = Heard()
    hopeless = task.model_copy(update={"goals": _goals("p99_latency_ms < 0.00001")})
    with pytest.raises(GoalMissed, match="every configuration is ruled out") as error:
        pretune.tune(hopeless, tmp_path / "out", SMALL, sinks=[heard])
    assert 'goal "p99_latency_ms < 1e-05" cannot be met' in str(error.value)
    assert "products alone take" in str(error.value)
    assert heard.begun() == []


def _load(milliseconds):
    """400 requests that all took about so long."""
    latency = Measure(
        value=milliseconds, low=milliseconds - 1, high=milliseconds + 1, n=400, of="requests"
    )
    return Load(
        rps=5.0, sent=400, failed=0, seconds=80, carried=5, measures={"p99_latency_ms": latency}
    )


def _served(monkeypatch, *answers):
    """Serving that takes these times, one server after another; the adapters that were served."""
    asked, left = [], list(answers)

    def serve(task, adapter, rows, seconds):
        assert (len(rows), seconds) == (10, tuned_served.LOAD_SECONDS)  # the test rows
        asked.append(adapter.parts[-3])
        if isinstance(found := left.pop(0), Exception):
            raise found
        return (_load(found),)

    monkeypatch.setattr(tuned_served, "serve_and_load", serve)
    return asked


def test_a_winner_that_is_too_slow_when_served_gives_way_to_the_next_best(
    task, tmp_path, monkeypatch
):
    plain = pretune.tune(task, tmp_path / "plain", SMALL)
    limited = task.model_copy(update={"goals": _goals("p99_latency_ms < 500 at 5 rps")})
    asked = _served(monkeypatch, 900, 80)
    found = pretune.tune(limited, tmp_path / "out", SMALL)
    first = found.trials[plain.best.number]
    assert first.broken == (
        "p99_latency_ms < 500 at 5 rps: fail, 900 [899, 901] over 400 requests",
    )
    assert found.best.number != first.number
    assert asked == [f"{one:04d}" for one in (first.number, found.best.number)]
    said = f"trial {found.best.number}, served: p99_latency_ms < 500 at 5 rps: pass"
    assert any(note.startswith(said) for note in found.notes())
    kept = {path.parent.name for path in (tmp_path / "out/trials").glob("*/adapters")}
    assert kept == {"0000", f"{found.best.number:04d}"}
    again = pretune.tune(limited, tmp_path / "out", SMALL)  # nothing is served twice
    assert (again.best, len(asked)) == (found.best, 2)


@pytest.mark.parametrize("all_able", [False, True])
def test_what_another_process_ends_meanwhile_keeps_its_adapter(
    task, tmp_path, monkeypatch, all_able
):
    def end(number):
        found = Trial(number=number, fate=Fate.FINISHED, why="", says="", knobs={}, spec="")
        folder = trial_folder(tmp_path, number)
        (folder / "adapters").mkdir(parents=True)
        found.model_copy(update={"value": number / 10}).save(folder)

    def load(root):
        found = load_trials(root)
        end(found[-1].number + 1)  # the best so far, a moment after the others were read
        return found

    for number in range(3):
        end(number)
    monkeypatch.setattr(searching, "load_trials", load)
    Search(tmp_path, task, SMALL, None, None).tidy(all_able=all_able)
    kept = {int(path.parent.name) for path in (tmp_path / "trials").glob("*/adapters")}
    assert {0, 2, 3} <= kept
    assert (1 in kept) == all_able


def test_where_all_are_too_slow_none_wins(task, tmp_path, monkeypatch):
    limited = task.model_copy(update={"goals": _goals("p99_latency_ms < 500 at 5 rps")})
    asked = _served(monkeypatch, 900, 900, 900)
    with pytest.raises(GoalMissed, match="every finished trial breaks a goal; trial 0: p99_lat"):
        pretune.tune(limited, tmp_path / "out", SMALL)
    assert len(asked) == len([t for t in load_trials(tmp_path / "out") if t.fate is Fate.FINISHED])


def test_finished_trials_that_break_a_goal_beside_half_trained_ones():
    slow = Trial(number=0, fate=Fate.FINISHED, why="", says="", knobs={}, spec="", broken=("p99",))
    said = "no finished trial keeps its goals; trial 0: p99; the same command with more minutes"
    with pytest.raises(BudgetError, match=said):
        raise tuned._nothing_finished([slow], 60.0, unfinished=1)


def test_a_server_that_fails_breaks_no_goal_and_is_tried_again(task, tmp_path, monkeypatch):
    limited = task.model_copy(update={"goals": _goals("p99_latency_ms < 500 at 5 rps")})
    asked = _served(monkeypatch, PretuneError("the port is taken"), 900, 80)
    found = pretune.tune(limited, tmp_path / "out", SMALL)
    assert (found.best.served, found.best.unserved) == (None, "the port is taken")
    said = f"trial {found.best.number} could not be served: the port is taken; its goals on serving"
    assert any(note.startswith(said) for note in found.notes())
    again = pretune.tune(limited, tmp_path / "out", SMALL)
    assert asked == [f"{one:04d}" for one in (found.best.number,) * 2 + (again.best.number,)]
    first = again.trials[found.best.number]
    assert first.broken
    assert not first.unserved
    assert again.best.number != first.number
    assert again.best.served


def test_memory_that_a_training_took_is_held_to_its_goal(task, tmp_path, monkeypatch):
    monkeypatch.setattr(PeakMemory, "read", lambda self: 3 * 10**9)
    limited = task.model_copy(update={"goals": _goals("train_memory_gb < 2")})
    with pytest.raises(GoalMissed, match=r"breaks a goal; trial 0: train_memory_gb < 2: 3"):
        pretune.tune(limited, tmp_path / "out", SMALL)


def test_what_does_not_fit_is_said_before_training(task, tmp_path, monkeypatch):
    monkeypatch.setattr(foresight, "room_on", lambda device: 10**8)
    with pytest.raises(GoalMissed, match=r"lora rank=2, prompt: does not fit: .* expected"):
        pretune.tune(task, tmp_path / "out", SMALL)


def test_a_budget_too_small_for_one_trial(task, tmp_path):
    tiny = parse_search({"minutes": 1e-5})
    with pytest.raises(BudgetError, match=r'"1e-05" minutes are too few for one trial: lora'):
        pretune.tune(task, tmp_path / "out", tiny)
    assert not (tmp_path / "out/trials").exists()


def test_minutes_end_a_search_in_the_middle_of_a_trial_and_more_go_on(task, tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "_check_budget", lambda search: None)
    space = {"methods": ["lora"], "ranks": [2, 4]}
    with pytest.raises(BudgetError, match="no trial is finished; the same command with more"):
        pretune.tune(task, tmp_path / "out", parse_search(space | {"minutes": 1e-9}))
    found = pretune.tune(task, tmp_path / "out", parse_search(space | {"trials": 2}))
    assert [one.fate for one in found.trials] == [Fate.FINISHED, Fate.FINISHED]


def test_time_that_runs_out_leaves_a_trial_to_go_on_with(task, tmp_path, monkeypatch):
    from pretune.api import searching

    clock = [0.0]
    monkeypatch.setattr(searching.time, "time", lambda: clock[0])

    class Late(Heard):
        def emit(self, event):
            super().emit(event)
            if event.kind == "train.step" and (event.values["trial"], event.step) == (1, 3):
                clock[0] = 1e12

    spec = parse_search({"minutes": 60, "methods": ["lora", "bottleneck"], "ranks": [2, 4]})
    found = pretune.tune(task, tmp_path / "out", spec, sinks=[Late()])
    assert (len(found.trials), found.unfinished) == (1, 1)
    assert "half trained: 1; " in (tmp_path / "out/report.md").read_text("utf-8")
    clock[0] = 0.0
    heard = Heard()
    again = spec.model_copy(update={"trials": 2})
    pretune.tune(task, tmp_path / "out", again, sinks=[heard])
    assert heard.begun() == [(1, 3)]


def test_side_by_side(task, tmp_path):
    heard = Heard()
    found = pretune.tune(task, tmp_path / "out", SMALL, jobs=2, sinks=[heard])
    assert len(found.trials) == 3
    assert sorted(number for number, _ in heard.begun()) == [0, 1, 2]
    # Each is what it is alone: a trial does not depend on its neighbours.
    alone = pretune.tune(task, tmp_path / "alone", SMALL.model_copy(update={"trials": 1}))
    assert told(found.trials)[0] == told(alone.trials)[0]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TrainingError("step 3: the loss is nan"), "step 3: the loss is nan"),
        (MemoryError(), "out of memory"),
    ],
)
def test_a_trial_that_fails_ends_no_search(task, tmp_path, monkeypatch, error, reason):
    train = Workbench.train

    def fail(self, spec, *rest, **options):
        if spec.method.name == "bottleneck":
            raise error
        return train(self, spec, *rest, **options)

    monkeypatch.setattr(Workbench, "train", fail)
    found = pretune.tune(task, tmp_path / "out", SMALL)
    (failed,) = [one for one in found.trials if one.fate is Fate.FAILED]
    assert (failed.reason, failed.value) == (reason, None)
    assert len(found.trials) == 3  # it was paid for


def test_an_interrupted_search_goes_on(task, tmp_path):
    class Interrupt(Heard):
        def emit(self, event):
            super().emit(event)
            if event.kind == "train.step" and (event.values["trial"], event.step) == (0, 3):
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        pretune.tune(task, tmp_path / "out", SMALL, sinks=[Interrupt()])
    heard = Heard()
    pretune.tune(task, tmp_path / "out", SMALL, sinks=[heard])
    assert heard.begun()[0] == (0, 3)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": "other"}, "task"),
        ({"labels": {"yes": "yes", "no": "nope"}}, "task"),
    ],
)
def test_a_folder_is_one_search_s(task, tmp_path, change, named):
    pretune.tune(task, tmp_path / "out", SMALL.model_copy(update={"trials": 1}))
    other = task.model_copy(update=change)
    with pytest.raises(BusyError, match=f'a search with other "{named}"'):
        pretune.tune(other, tmp_path / "out", SMALL)
    with pytest.raises(BusyError, match=r'a search with other "search.ranks"'):
        pretune.tune(task, tmp_path / "out", SMALL.model_copy(update={"ranks": (2,)}))
    found = pretune.tune(
        other, tmp_path / "out", SMALL.model_copy(update={"trials": 1}), overwrite=True
    )
    assert len(found.trials) == 1


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["rows", "trials", "similar", "report.md"])
def test_what_is_of_no_search_is_not_removed(task, tmp_path, name, overwrite):
    mine = tmp_path / "out" / name / "train.jsonl"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine", encoding="utf-8")
    with pytest.raises(BusyError, match=f'holds "{name}" and no "search.json".*with --out'):
        pretune.tune(task, tmp_path / "out", SMALL, overwrite=overwrite)
    assert mine.read_text("utf-8") == "mine"
    assert not (tmp_path / "out/search.json").exists()


def test_trials_that_lost_their_journal_are_not_removed(task, tmp_path):
    hopeless = task.model_copy(update={"goals": _goals("p99_latency_ms < 0.00001")})
    with pytest.raises(GoalMissed):
        pretune.tune(hopeless, tmp_path / "out", SMALL)
    kept = tmp_path / "out/trials/0000/trial.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}", encoding="utf-8")
    with pytest.raises(StorageError, match=r'"trials" of a search and no "journal.jsonl"; restore'):
        pretune.tune(hopeless, tmp_path / "out", SMALL)
    assert kept.exists()
    with pytest.raises(GoalMissed):
        pretune.tune(hopeless, tmp_path / "out", SMALL, overwrite=True)
    assert not kept.exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"seconds": null}'])
def test_a_damaged_clock_is_said(tmp_path, text):
    (tmp_path / "spent.json").write_text(text, encoding="utf-8")
    with pytest.raises(StorageError, match=r'"[^"]*spent.json" is damaged .*; remove it'):
        tuning._Clock(tmp_path)


def test_a_damaged_record_is_said(task, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/journal.jsonl").touch()
    (tmp_path / "out/search.json").write_text("[]", encoding="utf-8")
    with pytest.raises(StorageError, match=r'search.json" is damaged .*anew with --overwrite'):
        pretune.tune(task, tmp_path / "out", SMALL)


def test_two_searches_in_one_folder(task, tmp_path):
    with (
        folder_lock(tmp_path / "out", "tuning"),
        pytest.raises(BusyError, match="another process is tuning in"),
    ):
        pretune.tune(task, tmp_path / "out", SMALL)


def test_an_empty_space(task, tmp_path):
    none = parse_search({"methods": ["prefix_tuning"], "scopes": ["all"]})
    with pytest.raises(SpecError, match=r'nothing to choose from.*prefix_tuning" refuses'):
        pretune.tune(task, tmp_path / "out", none)
    one = parse_search({"methods": ["lora"], "scopes": ["prompt"], "ranks": [2], "rates": [1, 1]})
    with pytest.raises(SpecError, match="all that there is to choose"):
        pretune.tune(task, tmp_path / "out", one)  # what was refused holds no folder
    unknown = task.model_copy(update={"goals": _goals("acuracy >= 0.5")})
    with pytest.raises(UnknownName, match='did you mean "accuracy"'):
        pretune.tune(unknown, tmp_path / "out", SMALL)


def test_a_small_space_is_seen_and_the_search_ends(task, tmp_path):
    few = parse_search(
        {"methods": ["lora"], "scopes": ["prompt"], "ranks": [2, 4], "rates": [1, 1], "trials": 9}
    )
    found = pretune.tune(task, tmp_path / "out", few)
    assert [one.knobs["rank"] for one in found.trials if one.trained] == ["2", "4"]


def test_without_optuna(task, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"pip install 'pretune\[tune\]'"):
        pretune.tune(task, tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()


def test_shares_of_made_rows_are_chosen_and_nothing_held_out_is_learned(task, tmp_path):
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    rows += [
        made({"text": f"my card {n} is gone", "label": "yes"}, RowKind.SYNTHETIC, "rules", "r")
        for n in range(40)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = parse_search(
        {
            "methods": ["lora"],
            "scopes": ["prompt"],
            "ranks": [2],
            "rates": [1, 1],
            "shares": {"synthetic": [0, 0.2, 0.9]},
            "trials": 3,
        }
    )
    found = pretune.tune(task, tmp_path / "out", spec)
    shares = {one.knobs["share of synthetic"] for one in found.trials if one.trained}
    assert shares <= {"0", "0.2", "1"}  # 0.9 is more than there is: no limit
    best = load_task(found.spec)
    again = pretune.train(best, tmp_path / "again")
    assert again.result.best.metrics == found.best.metrics
    rows_of = {}
    for one in found.trials:
        if one.trained:
            spec = load_task(tmp_path / f"out/trials/{one.number:04d}/task.yaml")
            lines = spec.data.train[0].read_text().splitlines()
            made_rows = sum("_origin" in json.loads(line) for line in lines)
            rows_of[one.knobs["share of synthetic"]] = made_rows / len(lines)
    assert rows_of.get("0", 0) == 0
    assert rows_of.get("0.2", 0) <= 0.2
    assert rows_of["1"] > 0.4
    held = [(tmp_path / f"out/rows/all/{split}.jsonl") for split in ("validation", "test")]
    for path in held:
        assert all("_origin" not in json.loads(line) for line in path.read_text().splitlines())


def test_an_environment_of_several_processes_is_refused(task, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match="without accelerate launch"):
        pretune.tune(task, tmp_path / "out", SMALL)
