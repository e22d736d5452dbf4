"""``pretune tasks``: from a run to a version that answers, and back."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx2 as httpx
import pytest

import pretune
from cli.test_serve import free_port, wait_for
from pretune.api.serve import ServeOptions, _current_specs, build, find_registry, find_tasks
from pretune.core.errors import DataError, GoalMissed, SpecError
from pretune.serving.key_file import new_key
from registry.cases import evidence_of, filled, make


@pytest.fixture
def added(run, task):
    """A registry with one version of ``desk``; its digest."""
    assert run("train", "desk.yaml", "--out", "runs/desk").code == 0
    ran = run("tasks", "add", "runs/desk", "--why", "first", "--json")
    assert ran.code == 0, ran.err
    return ran.json["version"]


def test_a_run_is_added_with_its_lineage_and_promoted(run, added):
    told = run("tasks", "show", "desk", "--json").json
    record = json.loads(run("adapters", "runs/desk/adapters", "--json").out)[0]
    (version,) = told["versions"]
    assert version["version"] == added
    assert version["adapter"] == record["digest"]
    assert version["base"] == record["identity"]["base"]
    assert version["data"] == record["notes"]["data"]
    assert version["trained_spec"] == version["spec"] == record["notes"]["spec"]
    assert version["metrics"]["accuracy"]["n"] == 12
    assert told["current"] is None
    assert told["history"][0]["why"] == "first"
    promoted = run("tasks", "promote", "desk", added[:6], "--json")
    assert promoted.json["current"] == added
    listed = run("tasks", "list", "--json").json
    assert [(one["task"], one["current"]) for one in listed] == [("desk", added)]
    assert added[:12] in run("tasks", "list").out
    shown = run("tasks", "show", "desk").out
    assert "current" in shown
    assert "promote" in shown
    assert run("tasks", "add", "runs/desk", "--json").json["version"] == added


def test_the_second_version_and_the_way_back(run, task, added):
    assert run("tasks", "promote", "desk", added).code == 0
    text = task.read_text().replace("epochs: 1", "epochs: 2")
    task.write_text(text)
    assert run("train", "desk.yaml", "--out", "runs/again").code == 0
    second = run("tasks", "add", "runs/again", "--json").json["version"]
    assert second != added
    canary = run("tasks", "canary", "desk", second, "--share", "0.25", "--json").json["canary"]
    assert canary == {"version": second, "share": 0.25}
    assert "(0.25)" in run("tasks", "list").out
    assert run("tasks", "canary", "desk", "--json").json["canary"] is None
    assert run("tasks", "shadow", "desk", second, "--json").json["shadow"] == second
    assert run("tasks", "promote", "desk", second, "--json").json["previous"] == added
    assert run("tasks", "rollback", "desk", "--why", "worse", "--json").json["current"] == added
    assert run("tasks", "gc", "--json").json["versions"] == []
    assert run("tasks", "remove", "desk").code == 0
    assert len(run("tasks", "gc", "--json").json["versions"]) == 2
    assert run("tasks", "list", "--json").json == []


def test_a_version_with_goals_needs_a_gate_or_an_override(run, task):
    task.write_text(task.read_text() + 'goals: ["accuracy > 0.99"]\n')
    assert run("train", "desk.yaml", "--out", "runs/desk").code == 0
    version = run("tasks", "add", "runs/desk", "--json").json["version"]
    refused = run("tasks", "promote", "desk", version)
    assert refused.code == 10
    assert f"run: pretune gate TASK.yaml {version[:12]}" in " ".join(refused.err.split())
    assert run("tasks", "promote", "desk", version, "--override", "for the demo").code == 0
    assert "override: for the demo" in run("tasks", "show", "desk").out


def test_a_run_is_added_under_other_goals(run, task, added):
    task.write_text(task.read_text() + 'goals: ["accuracy > 0.1"]\n')
    version = run("tasks", "add", "runs/desk", "--task", "desk.yaml", "--json").json["version"]
    assert version != added
    told = {one["version"]: one for one in run("tasks", "show", "desk", "--json").json["versions"]}
    assert told[version]["adapter"] == told[added]["adapter"]
    assert told[version]["trained_spec"] == told[added]["spec"] != told[version]["spec"]
    assert told[version]["metrics"] == {}, "measured under another spec"
    task.rename("counter.yaml")
    refused = run("tasks", "add", "runs/desk", "--task", "counter.yaml")
    assert 'is a run of task "desk", not "counter"' in refused.err


def test_a_promise_of_privacy_goes_with_the_adapter(run, task):
    text = task.read_text().replace("batch_size: 8", "batch_size: 8, privacy: {epsilon: 20}")
    task.write_text(text)
    trained = run("train", "desk.yaml", "--out", "runs/desk", "--json").json["privacy"]
    del trained["moved"]  # of the run, and no part of the promise
    assert run("tasks", "add", "runs/desk").code == 0
    (version,) = run("tasks", "show", "desk", "--json").json["versions"]
    assert (version["privacy"], version["data"]) == (trained, None)
    assert "delta 1e-05" in run("tasks", "show", "desk").out
    gated = run("gate", "desk.yaml", "runs/desk", "--registry", "registry", "--out", "gate")
    assert "privacy: epsilon" in gated.out
    (card,) = Path("registry/evidence").glob("*.md")
    assert card.read_text() == Path("gate/card.md").read_text()
    assert "for one training row more or less" in card.read_text()


def test_mistakes_are_told(run, added, tmp_path):
    assert 'is no registry ("registry.json" is missing)' in " ".join(
        run("tasks", "list", "--registry", "nowhere").err.split()
    )
    assert run("tasks", "add", "nowhere").code == 7
    assert run("tasks", "add", "runs/desk", "--registry", "runs").code == 8
    assert 'unknown task "desc"; did you mean "desk"?' in run("tasks", "show", "desc").err
    assert 'unknown version "zz"; known: ' in run("tasks", "promote", "desk", "zz").err
    assert "no version before" in run("tasks", "rollback", "desk").err
    refused = run("tasks", "canary", "desk", added, "--share", "2", "--json")
    assert json.loads(refused.err)["kind"] == "SpecError"


def test_versions_are_changed_without_torch(run, added, tmp_path):
    code = (
        f"import sys; sys.argv = ['pretune', 'tasks', 'promote', 'desk', '{added}']\n"
        "from pretune.cli.app import app\n"
        "app(standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert pretune.Registry("registry").task("desk").current == added


def test_the_next_step_is_a_step_in_the_same_registry(run, added, tmp_path):
    told = run("tasks", "add", "runs/desk", "--registry", "another").out
    assert f'pretune tasks promote desk {added[:12]} --registry "another"' in told
    other = pretune.Registry("another")
    with pytest.raises(DataError, match='promote TASK VERSION --registry "another"'):
        build([], ServeOptions(), other)
    version = other.version(added)
    evidence = evidence_of(version.model_copy(update={"adapter": "0" * 64}))
    with pytest.raises(GoalMissed, match=r'RUN --task TASK\.yaml --registry "another"'):
        other.gate("desk", added, evidence)


def test_the_same_from_a_program(added):
    version, state = pretune.register("runs/desk", "registry")
    assert (version.digest, state.current) == (added, None)
    registry = pretune.Registry("registry")
    assert registry.promote("desk", added[:8]).current == added


def test_what_cannot_be_served_together(run, added, tmp_path):
    registry, places = find_registry([tmp_path / "registry", tmp_path / "runs"])
    assert places == [tmp_path / "runs"]
    with pytest.raises(DataError, match="has a current version; let one answer with"):
        build([], ServeOptions(), registry)
    with pytest.raises(DataError, match='task "desk" is in the registry and in'):
        build(find_tasks(places), ServeOptions(), registry)
    with pytest.raises(SpecError, match="a server serves one"):
        find_registry([tmp_path / "registry", tmp_path / "registry"])
    keys = tmp_path / "keys"
    new_key(keys)
    with pytest.raises(SpecError, match="is for changing tasks of a registry, and none is served"):
        build(find_tasks(places), ServeOptions(admin_keys=keys))
    registry.promote("desk", added)
    with pytest.raises(SpecError, match="share a key; give administrators their own"):
        build([], ServeOptions(keys=keys, admin_keys=keys), registry)


def test_a_run_is_served_beside_a_registry_though_each_names_the_base_in_its_own_way(
    run, task, tiny, tmp_path
):
    (tmp_path / "base").symlink_to(tiny)
    task.write_text(task.read_text().replace(str(tiny), "base"))
    for name in ("desk", "counter"):
        task.with_name(f"{name}.yaml").write_text(task.read_text())
        assert run("train", f"{name}.yaml", "--out", f"runs/{name}").code == 0
    version = run("tasks", "add", "runs/desk", "--json").json["version"]
    assert run("tasks", "promote", "desk", version).code == 0
    registry = pretune.Registry("registry")
    app = build(find_tasks([Path("runs/counter")]), ServeOptions(), registry)
    served = app.state.service
    served.shelf.close()
    assert [one.name for one in served.catalogue if one.adapter] == ["counter", "desk"]


def test_a_record_that_means_nothing_keeps_no_other_task_from_being_served(tmp_path):
    registry, (first, *_) = filled(tmp_path)
    other = make(tmp_path / "made", "counter", 1)
    registry.add(other.version, other.folder)
    registry.promote("desk", first.digest)
    registry.promote("counter", other.digest)
    path = registry.files.version_file(first.digest)
    path.write_text(path.read_text().replace('"template"', '"templatte"', 1))
    assert [spec.name for spec in _current_specs(registry, [])] == ["counter"]


def test_a_registry_is_served_and_followed(run, task, added, tmp_path):
    assert run("tasks", "promote", "desk", added).code == 0
    key, port = new_key(tmp_path / "admins"), free_port()
    command = [sys.executable, "-m", "pretune", "serve", "registry", "--port", str(port)]
    command += ["--admin-keys", "admins"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
                wait_for(http, process)
                assert http.get("/v1/models/desk").json()["version"] == added
                assert http.get("/v1/tasks").status_code == 401
                headers = {"authorization": f"Bearer {key}"}
                shown = http.get("/v1/tasks/desk", headers=headers).json()
                assert (shown["current"], shown["served"]) == (added, True)
                question = [{"role": "user", "content": "pin lost"}]
                body = {"model": "desk", "messages": question}
                found = http.post("/v1/chat/completions", json=body).json()
                assert found["choices"][0]["label"] in ("card", "loan")
                assert found["system_fingerprint"] == added[:12]
        finally:
            process.send_signal(signal.SIGTERM)
            told = process.stderr.read() if process.stderr else ""
            assert process.wait(30) in (0, -signal.SIGTERM)
    assert f"serving desk at http://127.0.0.1:{port}/v1" in told
    assert key not in told
    assert not list((tmp_path / "registry" / "pins").iterdir())
