"""The cases' files are tasks and commands, and a case that was stopped goes on."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
import yaml

from pretune.cli.app import app
from pretune.spec.task import load_task

ROOT = Path(__file__).parents[2]
CASES = sorted(path.parent.name for path in (ROOT / "cases").glob("*/case.yaml"))
sys.path.insert(0, str(ROOT / "cases"))

import run  # noqa: E402  (scripts beside the package)
import told  # noqa: E402


def steps(name):
    return yaml.safe_load((ROOT / "cases" / name / "case.yaml").read_text("utf-8"))["steps"]


@pytest.mark.parametrize("name", CASES)
def test_each_step_is_a_command_that_can_be_told(name):
    for step in steps(name):
        assert step.keys() <= {"name", "run", "against"}  # a comma in a name would make a key
        words = shlex.split(step["run"])
        command, rest = typer.main.get_command(app), words
        while hasattr(command, "commands"):
            command, rest = command.commands[rest[0]], rest[1:]
        command.make_context(words[0], list(rest))
        assert told.command_of("pretune " + step["run"]) in told.TELLERS
        assert step["run"].startswith(("train ", "eval ")) or "against" not in step


@pytest.mark.parametrize("name", CASES)
def test_variants_are_tasks_that_differ_as_said(name, tmp_path, monkeypatch):
    monkeypatch.setattr(run.subprocess, "run", lambda *_, **__: None)  # the rows
    run.prepare(name, tmp_path, tmp_path / name)
    case = yaml.safe_load((ROOT / "cases" / name / "case.yaml").read_text("utf-8"))
    for variant, changes in case["variants"].items():
        plain = load_task(tmp_path / name / f"{changes['of']}.yaml").model_dump()
        task = load_task(tmp_path / name / f"{variant}.yaml").model_dump()
        differing = {key for key in plain if plain[key] != task[key]}
        assert differing == changes.keys() - {"of"}


def folder_of_risk(tmp_path):
    folder = tmp_path / "risk"
    (folder / "steps").mkdir(parents=True)
    return folder


def test_a_case_that_was_stopped_goes_on_and_ends_in_a_page(tmp_path, monkeypatch):
    asked = []
    value = {"value": 0.5, "low": 0.4, "high": 0.6}

    def answer(arguments, folder):
        words = list(arguments)
        asked.append(" ".join(words))
        if len(asked) == 8:
            raise KeyboardInterrupt
        if words[0] in ("train", "eval"):
            kept = folder / run.evaluation_of(words) / "evaluation.json"
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps({"metrics": {"macro_f1": value}}))
        delta = {"value": 0.1, "low": -0.1, "high": 0.3}
        told_by = {
            "plan": {"goals": [{"goal": "macro_f1 >= 0.7", "prospect": "decidable"}]},
            "eval": {"metrics": {"macro_f1": value}},
            "compare": [{"delta": delta, "verdict": "undecided"}],
            "data": {"rows": {"rows": 9}, "counts": {}},
            "tune": {"best": {"says": "lora", "value": 0.6}, "metric": "macro_f1"},
            "gate": {
                "verdict": "fail",
                "checks": [{"name": "macro_f1 >= 0.7", "outcome": "fail", "reason": "0.4"}],
                "version": None,
            },
        }
        if words[:2] == ["tasks", "add"]:
            return 0, {"version": "abcdef0123456789"}, ""
        if words[:2] == ["tasks", "promote"]:
            return 10, {"error": "it failed its gate"}, ""
        return 10 if words[0] == "gate" else 0, told_by.get(words[0]), ""

    monkeypatch.setattr(run, "pretune", answer)
    folder = folder_of_risk(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run.walk("risk", tmp_path, folder)
    before = len(asked)
    run.walk("risk", tmp_path, folder)
    assert asked[before] == asked[before - 1]  # goes on with the step that it was stopped in
    assert asked[-1] == "tasks promote risk abcdef0123456789 --registry registry"
    page = (folder / "case.md").read_text("utf-8")
    assert "refused: it failed its gate" in page
    assert "+0.100 (-0.100 to +0.300), undecided" in page
    assert "| The base as it is | macro_f1 0.500 (0.400 to 0.600) |" in page


def test_a_step_that_breaks_ends_the_case(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "pretune", lambda arguments, folder: (2, None, "no such file"))
    with pytest.raises(SystemExit, match="exit code 2\nno such file"):
        run.walk("risk", tmp_path, folder_of_risk(tmp_path))


def test_a_refusal_is_told_too(tmp_path, monkeypatch):
    refused = ["tasks", "promote", "desk", "abc", "--registry", "none"]
    code, told_by, said = run.pretune(refused, tmp_path)
    assert code not in run.VERDICTS
    assert "none" in said
    assert told_by is None  # what broke is said, not told
    monkeypatch.setattr(run, "VERDICTS", (code,))
    _, told_by, _ = run.pretune(refused, tmp_path)
    assert "none" in told_by["error"]


STAND_IN = """
import os, signal, sys, time

def save(*_):
    time.sleep(0.5)  # longer than an interrupted subprocess.run would wait
    open("saved", "a").write("saved ")
    sys.exit(130)

signal.signal(signal.SIGTERM, save)
open("new", "w").write(str(os.getpid()))
os.rename("new", "begun")
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_case_that_is_ended_ends_its_command(tmp_path, number):
    folder = folder_of_risk(tmp_path)
    (folder / "pretune.py").write_text(STAND_IN)  # the command's own folder comes first
    command = [sys.executable, run.__file__, "risk", "--out", tmp_path, "--data", tmp_path]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as case:
        until = time.monotonic() + 60
        while not (folder / "begun").exists():
            assert case.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
        case.send_signal(number)
        assert case.wait(30) != 0
    step = int((folder / "begun").read_text())
    try:
        os.kill(step, signal.SIGKILL)
    except ProcessLookupError:
        assert (folder / "saved").read_text() == "saved "
    else:
        pytest.fail("the command outlived its case")
