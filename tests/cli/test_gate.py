"""``pretune gate``: from a run to a verdict, its evidence, and a promotion or a refusal."""

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import pretune
from cli.conftest import ROWS, write_rows
from pretune.api import gate_run, gate_served, gating
from pretune.core.errors import SpecError, StorageError
from pretune.gating.evidence import read_evidence
from registry.cases import evidence_of, make


@pytest.fixture
def trained(run, task):
    """A run of ``desk``; its folder."""
    assert run("train", "desk.yaml", "--out", "runs/desk").code == 0
    return "runs/desk"


def promise(task: Path, *goals: str) -> None:
    """Give the task these goals; the run is then another version of it."""
    text = task.read_text().partition("goals:")[0]
    task.write_text(f"{text}goals: {json.dumps(goals)}\n")


def add(run) -> str:
    ran = run("tasks", "add", "runs/desk", "--task", "desk.yaml", "--json")
    assert ran.code == 0, ran.err
    return ran.json["version"]


def files(folder: str) -> dict[str, bytes]:
    """All that lies below, but for the lock that somebody may hold."""
    found = (path for path in Path(folder).rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path): path.read_bytes() for path in found}


def test_a_task_without_goals_passes_and_says_that_nothing_was_promised(run, trained):
    ran = run("gate", "desk.yaml", trained, "--out", "gate", "--junit", "gate/junit.xml")
    assert ran.code == 0, ran.err
    assert "nothing was promised" in ran.out
    evidence = read_evidence(Path("gate/evidence.json"))
    assert evidence.verdict == "pass"
    assert evidence.metrics["accuracy"].n == 12
    assert evidence.calibration.ece.n == 12
    assert {one.name: one.drop is None for one in evidence.robustness} == {
        "typos": False, "option_order": True, "template": False, "context": False,
    }  # fmt: skip
    assert {one.kind for one in evidence.safety if one.share} == {"flip"}
    assert evidence.forgetting.ratio.n == 16
    assert evidence.served == (), "no goal asks for it"
    assert evidence.sizes["train_hours"] > 0
    assert Path("gate/card.md").read_text().startswith("# desk: pass")
    assert "<svg" in Path("gate/gate.html").read_text()
    suite = ElementTree.parse("gate/junit.xml").getroot().find("testsuite")
    assert suite.get("tests") == "0"
    texts = [row["text"] for row in ROWS]
    for path in Path("gate").iterdir():
        assert not any(text in path.read_text() for text in texts), f"{path} shows a row"


def test_the_same_gate_gives_the_same_numbers(run, trained):
    first, second = (run("gate", "desk.yaml", trained, "--json").json for _ in range(2))
    for one in (first, second):
        del one["created"], one["digest"]
    assert first == second


def test_a_pass_promotes_and_the_next_version_is_compared_with_it(run, task, trained):
    promise(task, "accuracy >= 0.01", "train_hours < 5", "adapter_mb < 5")
    version = add(run)
    assert run("tasks", "promote", "desk", version).code == 10
    ran = run("gate", "desk.yaml", trained, "--registry", "registry", "--why", "nightly", "--json")
    assert (ran.code, ran.json["version"]) == (0, version), ran.err
    assert run("tasks", "promote", "desk", version[:8]).code == 0
    history = run("tasks", "show", "desk", "--json").json["history"]
    assert [one["what"] for one in history] == ["add", "gate", "promote"]
    assert (history[1]["why"], history[1]["verdict"]) == ("nightly", "pass")
    assert history[1]["evidence"] == history[2]["evidence"] == ran.json["digest"]
    assert "pass" in run("tasks", "show", "desk").out
    promise(task, "accuracy >= 0.01")
    again = add(run)
    found = run("gate", "desk.yaml", again[:12], "--registry", "registry", "--json").json
    assert (found["version"], found["current"]) == (again, version)
    assert [one["metric"] for one in found["compared"]] == ["accuracy", "macro_f1"]
    assert found["compared"][0]["delta"]["value"] == 0, "the same adapter"
    assert found["checks"][-1]["name"] == "not worse than the current version"
    assert found["checks"][-1]["outcome"] == "pass"
    assert run("tasks", "promote", "desk", again).code == 0


def test_a_fail_is_refused_and_an_override_is_kept(run, task, trained):
    promise(task, "accuracy >= 0.99", "macro_f1 < 0.01")
    version = add(run)
    ran = run("gate", "desk.yaml", trained, "--registry", "registry", "--junit", "j.xml")
    assert ran.code == 10
    assert "desk: fail" in ran.out
    assert ElementTree.parse("j.xml").getroot().find("testsuite").get("failures") != "0"
    refused = run("tasks", "promote", "desk", version)
    assert refused.code == 10
    assert f"the gate of version {version[:12]} says fail" in " ".join(refused.err.split())
    assert run("tasks", "show", "desk", "--json").json["current"] is None
    assert run("tasks", "promote", "desk", version, "--override", "").code == 2
    assert run("tasks", "promote", "desk", version, "--override", "audit").code == 0
    assert run("tasks", "show", "desk", "--json").json["history"][-1]["override"] == "audit"


def test_undecided_has_its_own_exit_code_and_says_what_is_missing(run, task, trained):
    accuracy = run("eval", "desk.yaml", "--adapter", trained, "--json").json["metrics"]["accuracy"]
    promise(task, f"accuracy >= {accuracy['low'] + 0.01:.3f}")
    ran = run("gate", "desk.yaml", trained, "--json")
    assert (ran.code, ran.json["verdict"]) == (13, "undecided")
    assert ran.json["checks"][0]["missing"] > 0
    assert "are missing" in ran.json["checks"][0]["reason"]


def test_evidence_from_elsewhere_is_taken_by_the_promotion(run, task, trained):
    promise(task, "accuracy >= 0.01")
    assert run("gate", "desk.yaml", trained, "--out", "gate").code == 0
    version = add(run)
    promise(task, "accuracy >= 0.02")
    other = add(run)
    wrong = run("tasks", "promote", "desk", other, "--evidence", "gate/evidence.json")
    assert "the evidence is not of version" in wrong.err
    taken = run("tasks", "promote", "desk", version, "--evidence", "gate/evidence.json", "--json")
    assert taken.json["current"] == version
    Path("gate/evidence.json").write_text('{"format": 1')
    broken = run("tasks", "promote", "desk", other, "--evidence", "gate/evidence.json")
    assert (broken.code, "is damaged" in broken.err) == (7, True)


def test_without_its_version_a_gate_leaves_the_registry_alone(run, task, trained):
    add(run)
    before = files("registry")
    promise(task, "accuracy >= 0.01")
    ran = run("gate", "desk.yaml", trained, "--registry", "registry")
    assert ran.code == 0
    assert "is not kept: the registry has no version with this adapter under this spec" in " ".join(
        ran.out.split()
    )
    assert files("registry") == before


@pytest.fixture
def measured(tmp_path, task, monkeypatch):
    """A version in a registry, whose gate has this evidence and takes no time."""
    made = make(tmp_path / "made", "desk", 0)
    pretune.Registry.create("registry").add(made.version, made.folder)
    found = evidence_of(made.version)

    class Measured:
        def __init__(self, *_, **__):
            pass

        def run(self):
            return found

    monkeypatch.setattr(gating, "Gate", Measured)
    return made.folder, found


def test_a_registry_that_cannot_be_written_loses_no_measuring(run, measured, monkeypatch):
    adapter, found = measured

    def full(*_):
        raise StorageError("no space left on device")

    monkeypatch.setattr(pretune.Registry, "gate", full)
    where = ("--registry", "registry", "--out", "gate", "--junit", "junit.xml")
    ran = run("gate", "desk.yaml", adapter, *where)
    assert (ran.code, "no space left" in ran.err) == (7, True)
    assert read_evidence(Path("gate/evidence.json")) == found
    assert ElementTree.parse("junit.xml").getroot().find("testsuite") is not None


def test_a_folder_that_cannot_be_written_loses_no_measuring(run, measured):
    adapter, found = measured
    ran = run("gate", "desk.yaml", adapter, "--registry", "registry", "--out", "desk.yaml/gate")
    assert ran.code == 7
    assert pretune.Registry("registry").task("desk").history[-1].evidence == found.digest


def test_a_load_without_end(run, measured):
    ran = run("gate", "desk.yaml", measured[0], "--load-seconds", "inf")
    assert ran.code == 2
    assert 'a load of "inf" seconds never ends or never begins' in " ".join(ran.err.split())
    for seconds in (0.0, float("nan")):
        with pytest.raises(SpecError, match="give a number of seconds"):
            pretune.GateOptions(load_seconds=seconds)


def test_latency_cost_and_memory_are_those_of_a_served_task(run, task, trained):
    task.write_text(
        task.read_text()
        + """
goals:
  - p50_latency_ms < 60000 at 20 rps
  - p99_ttft_ms < 60000 at 20 rps
  - serve_memory_gb > 0.01
  - {goal: cost_per_1000 < 1 at 20 rps, price_per_hour: 3.6}
"""
    )
    ran = run("gate", "desk.yaml", trained, "--load-seconds", "1", "--json")
    checks = {one["name"]: one for one in ran.json["checks"]}
    (alone, loaded) = sorted(ran.json["served"], key=lambda one: one["rps"] or 0)
    assert (alone["rps"], loaded["rps"], loaded["sent"]) == (None, 20, 20)
    assert loaded["failed"] == alone["failed"] == 0
    assert checks["p50_latency_ms < 60000 at 20 rps"]["outcome"] == "pass"
    p99 = checks["p99_ttft_ms < 60000 at 20 rps"]
    assert (p99["outcome"], p99["missing"], ran.code) == ("undecided", 348, 13)
    assert checks["serve_memory_gb > 0.01"]["outcome"] == "pass"
    # 3.6 an hour is 0.001 a second: at so many answers a second, 1,000 cost 1 over that.
    cost = checks["cost_per_1000 < 1 at 20 rps"]["reason"].removeprefix("measured ")
    assert float(cost) == pytest.approx(1 / loaded["carried"], rel=1e-3)


@pytest.mark.parametrize(
    ("goals", "code", "words"),
    [
        (["accurcy >= 0.5"], 2, 'unknown metric "accurcy"; did you mean "accuracy"?'),
        (["accuracy >= 0.9", "accuracy < 0.8"], 2, 'no value of "accuracy" meets both'),
        (["accuracy >= 0.9 where lang = zh"], 2, 'unknown column "lang"'),
        (["accuracy >= 0.9 where label = loam"], 2, 'none of the rows has "loam"'),
        (["accuracy >= 90"], 2, "did you mean 0.9?"),
        (
            ["safety_share >= 90"],
            2,
            'values of "safety_share" lie between 0 and 1; did you mean 0.9?',
        ),
        (["ece <= 0.1 at 5 rps"], 2, '"ece" does not depend on a load'),
    ],
)
def test_goals_that_make_no_sense_are_refused_before_anything_is_loaded(
    run, task, monkeypatch, goals, code, words
):
    monkeypatch.setattr(gate_run.Workbench, "open", lambda *_: pytest.fail("a base was loaded"))
    promise(task, *goals)
    Path("somewhere").mkdir()
    refused = run("gate", "desk.yaml", "somewhere")
    assert refused.code == code
    assert words in " ".join(refused.err.split())


def test_a_slice_that_the_test_rows_lack_is_undecided(run, task, trained):
    rows = [{**row, "lang": "en"} for row in ROWS]
    write_rows(Path("rows.jsonl"), [{**row, "lang": "zh"} for row in rows[::2]])
    write_rows(Path("last.jsonl"), rows[3::4])
    promise(task, "accuracy >= 0.01 where lang = zh", "accuracy >= 0.01 where lang = en")
    ran = run("gate", "desk.yaml", trained, "--json")
    assert ran.code == 13
    lacking, there = ran.json["checks"]
    assert (lacking["outcome"], there["outcome"]) == ("not measured", "pass")
    assert lacking["reason"].startswith("none of the test rows has these values")
    assert ran.json["slices"]["accuracy where lang = en"]["n"] == 12


def test_what_is_not_there_is_told(run, task, trained):
    assert "is no folder; name a run, an adapter, or a version with --registry" in " ".join(
        run("gate", "desk.yaml", "nowhere").err.split()
    )
    assert "is no registry" in run("gate", "desk.yaml", trained, "--registry", "nowhere").err
    version = add(run)
    assert 'unknown version "zz"' in run("gate", "desk.yaml", "zz", "--registry", "registry").err
    promise(task, "accuracy >= 0.01")
    other = run("gate", "desk.yaml", version, "--registry", "registry")
    assert "has another spec than the task file" in other.err


def test_kill_9_during_a_gate_leaves_the_registry_as_it_was(run, task, trained):
    promise(task, "accuracy >= 0.01")
    version = add(run)
    before = files("registry")
    last = "safety probes and general text"
    code = (
        "import os, signal, pretune\n"
        f"def die(part):\n    if part == {last!r}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "task = pretune.load_task('desk.yaml')\n"
        "options = pretune.GateOptions(registry='registry')\n"
        f"pretune.gate(task, '{trained}', options, tell=die)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=False)
    assert ran.returncode == -signal.SIGKILL
    assert files("registry") == before
    assert pretune.Registry("registry").task("desk").current is None
    assert run("tasks", "promote", "desk", version).code == 10


def test_a_server_that_fails_leaves_its_goals_open_and_the_rest_stands(
    run, task, trained, monkeypatch
):
    promise(task, "p50_latency_ms < 100 at 20 rps", "accuracy >= 0.01")
    dead = {"latency": [60.0], "first": [60.0], "failed": 1, "seconds": 60.0}
    monkeypatch.setattr(gate_served, "_ask", lambda *_: dead)
    monkeypatch.setattr(gate_served, "serving", contextlib.nullcontext)
    ran = run("gate", "desk.yaml", trained, "--json")
    assert ran.code == 13
    latency, accuracy = ran.json["checks"]
    assert (latency["outcome"], accuracy["outcome"]) == ("not measured", "pass")
    assert "not measured: none of 1 requests was answered" in latency["reason"]


def test_a_chat_is_gated_as_far_as_it_can_be(run, task):
    rows = [
        {"turns": [{"role": "user", "content": row["text"]},
                   {"role": "assistant", "content": row["label"]}]}
        for row in ROWS
    ]  # fmt: skip
    write_rows(Path("rows.jsonl"), rows[::2])
    write_rows(Path("last.jsonl"), rows[3::4])
    Path("talk.yaml").write_text(
        f"base: {task.read_text().split()[1]}\n"
        "data: {train: rows.jsonl, test: last.jsonl}\n"
        "template: {messages: turns}\n"
        "generate: {max_new_tokens: 4}\n"
        "goals: ['typos_drop <= 0.1', 'safety_share >= 0.5', 'ece <= 0.1']\n"
        "method: {name: lora, rank: 2}\n"
        "train: {epochs: 1, batch_size: 8}\n"
    )
    assert run("train", "talk.yaml", "--out", "runs/talk").code == 0
    ran = run("gate", "talk.yaml", "runs/talk", "--json")
    assert ran.code == 13, ran.err
    typos, safe, ece = (one["reason"] for one in ran.json["checks"])
    assert typos == "there is nothing to change"
    assert safe == "no probe applies to this task"
    assert ece.startswith("only labels have probabilities")
    assert ran.json["forgetting"]["ratio"]["n"] == 16
