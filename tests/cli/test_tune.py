"""``pretune tune``: the board as lines, the result as text and JSON, exit codes."""

import io

import pytest
from rich.console import Console

from api.cases_tuning import fixed_speed
from pretune.api import foresight
from pretune.cli.board import Board
from pretune.core.events import Event

pytest.importorskip("optuna")


@pytest.fixture
def search(task, tmp_path, monkeypatch):
    monkeypatch.setattr(foresight, "speed_of", fixed_speed)
    monkeypatch.setenv("PRETUNE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "search.yaml"
    path.write_text("methods: [lora]\nranks: [2, 4]\ntrials: 9\n")
    return path


COMMAND = ("tune", "desk.yaml", "--search", "search.yaml", "--out", "out", "--trials", 2)


def test_text_and_json(run, search):
    first = run(*COMMAND)
    assert first.code == 0, first.err
    assert "trial 0, lora rank=2, prompt, rate x1: the task as it stands" in first.err
    assert "at step" in first.err
    assert 'its run: "out/trials/000' in first.out
    assert 'task file: "out/best.yaml"' in first.out
    assert "What mattered" in first.out
    again = run(*COMMAND, "--json")
    assert len(again.json["trials"]) == 2  # the option's budget, not the file's
    assert "2 trials are over" in again.err
    assert again.json["best"]["value"] == max(one["value"] for one in again.json["trials"])
    assert (
        run("train", "out/best.yaml", "--out", "again", "--json").json["validation"]
        == (again.json["best"]["metrics"])
    )
    # No text of a row is printed or reported.
    page = (search.parent / "out/report.html").read_text("utf-8")
    assert "lost today" not in first.out + first.err + again.out + again.err + page


def test_known_errors_have_their_codes(run, task, search):
    search.write_text("metods: [lora]\n")
    ran = run(*COMMAND)
    assert (ran.code, 'unknown key "metods"; did you mean "methods"' in ran.err) == (2, True)
    search.write_text("methods: [lora]\n")
    ran = run(*COMMAND[:-2], "--trials", 0)
    assert (ran.code, "trials: input should be greater" in ran.err) == (2, True)
    ran = run(*COMMAND[:-2], "--minutes", 0.00001)
    assert (ran.code, "minutes are too few for one trial" in ran.err) == (11, True)
    task.write_text(task.read_text() + "goals: p99_latency_ms < 0.00001\n")
    ran = run(*COMMAND[:4], "--out", "other")
    assert (ran.code, "every configuration is ruled out" in ran.err) == (10, True)


ABOUT = {
    "task": "desk",
    "metric": "accuracy",
    "higher_is_better": True,
    "trials": 5,
    "minutes": 3.0,
    "seconds": 30.0,
    "jobs": 1,
    "halves": 1,
    "done": [],
}


def test_the_live_board_shows_running_trials_first_then_the_best():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with Board(console) as board:
        board.emit(Event("tune.start", values=ABOUT))
        for number, value in ((0, 0.5), (1, 0.9)):
            board.emit(Event("tune.trial", number, {"says": f"point {number}", "why": "chosen"}))
            board.emit(Event("train.start", 0, {"trial": number, "steps": 10}))
            board.emit(Event("train.validation", 5, {"trial": number, "accuracy": value}))
            done = {
                "number": number,
                "says": f"point {number}",
                "marks": [[5, value]],
                "value": value,
                "fate": "finished",
                "reason": "",
            }
            board.emit(Event("tune.done", number, {"trial": done}))
        board.emit(Event("tune.trial", 2, {"says": "point 2", "why": "chosen"}))
        board.emit(Event("train.start", 0, {"trial": 2, "steps": 10}))
        board.emit(Event("train.step", 4, {"trial": 2, "loss": 1.0}))
        plain = Console(file=io.StringIO(), width=100)
        plain.print(board._table())
    shown = plain.file.getvalue()
    assert "desk: 2 of 5 trials, 0.5 of 3 minutes" in shown
    places = [shown.index(f"point {number}") for number in (2, 1, 0)]
    assert places == sorted(places)
    assert "40%" in shown
    assert "▇" in shown


@pytest.mark.parametrize("live", [False, True])
def test_the_board_tells_what_is_served(live):
    plain = Console(file=io.StringIO(), width=100)
    console = Console(file=io.StringIO(), force_terminal=True, width=100) if live else plain
    done = [
        {"number": n, "says": f"point {n}", "marks": [], "value": n, "reason": ""}
        | {"fate": "finished"}
        for n in (2, 3)
    ]
    with Board(console) as board:
        board.emit(Event("tune.start", values=ABOUT | {"done": done}))
        board.emit(Event("tune.serve", 3))
        if live:
            plain.print(board._table())
    lines = [line for line in plain.file.getvalue().split("\n") if "point 3" in line]
    assert len(lines) == 1
    assert "served, to see its goals on latency, cost and memory" in lines[0]
    assert "point 2: served" not in plain.file.getvalue()
