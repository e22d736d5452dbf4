"""Every command does its job, and says so to people and to programs."""

import json
import shutil
from pathlib import Path

from registry.cases import make


def test_help_is_quick_and_names_every_command(run):
    ran = run("--help")
    assert ran.code == 0
    names = [
        "init",
        "check",
        "data",
        "train",
        "eval",
        "compare",
        "generate",
        "serve",
        "tasks",
        "adapters",
        "merge",
        "import",
        "export",
        "demo",
    ]
    assert all(f"  {name} " in ran.out for name in names)


def test_help_needs_no_torch():
    import subprocess
    import sys

    code = "import sys, pretune.cli.app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_init_writes_a_task_that_check_accepts(run, task):
    made = run("init", "rows.jsonl", "--json")
    assert made.code == 0
    assert made.json["rows"] == 24
    checked = run("check", "rows.yaml", "--json")
    assert checked.code == 0
    assert sum(split["read"] for split in checked.json["splits"].values()) == 24
    again = run("init", "rows.jsonl")
    assert again.code == 8
    assert '"rows.yaml" exists' in again.err


def test_init_names_the_rows_from_where_a_linked_folder_lies(run, task, tmp_path):
    (tmp_path / "deep/tasks").mkdir(parents=True)
    (tmp_path / "tasks").symlink_to(tmp_path / "deep/tasks")
    assert run("init", "rows.jsonl", "--out", "tasks/rows.yaml").code == 0
    assert "../../rows.jsonl" in (tmp_path / "deep/tasks/rows.yaml").read_text("utf-8")


def test_check_says_what_would_be_trained_on(run, task):
    ran = run("check", task)
    assert ran.code == 0
    assert "Data of desk" in ran.out
    assert "rows kept" in ran.out


def test_train_then_use_the_run(run, task, tmp_path):
    trained = run("train", task, "--json")
    assert trained.code == 0, trained.err
    record = trained.json
    assert record["task"] == "desk"
    assert record["steps"] == 3
    assert set(record["test"]) == {"accuracy", "macro_f1"}

    found = run("eval", task, "--adapter", "runs/desk", "--json")
    assert found.json["adapter"] == record["digest"]
    # Trained, saved and loaded again in another process's place: the same metric.
    assert found.json["metrics"]["accuracy"]["value"] == record["test"]["accuracy"]

    listed = run("adapters", "--json").json
    assert [one["digest"] for one in listed] == [record["digest"]]
    assert listed[0]["notes"]["task"] == "desk"

    answers = run(
        "generate", task, "--row", '{"text": "card lost"}', "--adapter", "runs/desk", "--json"
    )
    assert set(answers.json[0]) == {"text", "label"}


def test_a_run_is_not_trained_over_unasked(run, task):
    assert run("train", task).code == 0
    refused = run("train", task)
    assert refused.code == 8
    assert "already holds a training" in refused.err
    assert run("train", task, "--resume").code == 0
    assert run("train", task, "--overwrite").code == 0


def test_eval_fails_by_exit_code_when_a_goal_does(run, task):
    text = task.read_text(encoding="utf-8") + 'goals: ["accuracy >= 0.0", "accuracy > 1.5"]\n'
    task.write_text(text, encoding="utf-8")
    ran = run("eval", task, "--json")
    assert ran.code == 10
    assert [one["outcome"] for one in ran.json["goals"]] == ["pass", "fail"]


def test_compare_two_evaluations(run, task):
    assert run("eval", task, "--out", "a").code == 0
    assert run("eval", task, "--out", "b").code == 0
    ran = run("compare", "a", "b", "--json")
    assert ran.code == 0
    assert {one["verdict"] for one in ran.json} == {"undecided"}
    missing = run("compare", "a", "nowhere")
    assert missing.code == 7
    assert '"nowhere" holds no evaluation' in missing.err


def test_merge_is_checked_and_loads_as_a_base(run, task, tiny, tmp_path):
    text = task.read_text(encoding="utf-8").replace("method:", "scope: all\nmethod:")
    task.write_text(text, encoding="utf-8")
    assert run("train", task).code == 0
    merged = run("merge", "runs/desk", "merged", "--base", tiny, "--json")
    assert merged.code == 0, merged.err
    assert merged.json["largest_difference"] < 1e-3
    task.write_text(text.replace(str(tiny), "./merged"), encoding="utf-8")
    assert run("eval", task, "--json").code == 0
    assert run("merge", "runs/desk", "merged", "--base", tiny).code == 8


def test_merge_refuses_prompt_scope_with_the_reason(run, task, tiny):
    assert run("train", task).code == 0
    refused = run("merge", "runs/desk", "merged", "--base", tiny)
    assert refused.code == 5
    assert 'scope "prompt" cannot be merged' in refused.err


def test_export_and_import_keep_the_adapter(run, task, tiny):
    text = task.read_text(encoding="utf-8").replace("method:", "scope: all\nmethod:")
    task.write_text(text, encoding="utf-8")
    digest = run("train", task, "--json").json["digest"]
    assert run("export", "runs/desk", "peft", "--base", tiny).code == 0
    back = run("import", "peft", "--scope", "all", "--base", tiny, "--out", "back", "--json")
    assert back.code == 0, back.err
    assert run("adapters", "back", "--json").json[0]["digest"] == digest
    assert run("import", "peft", "--base", tiny).code == 2


def test_adapters_are_listed_beside_damaged_ones(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = make(tmp_path / "runs", "desk", 1).folder
    manifest = json.loads((whole / "manifest.json").read_text())
    manifest |= {"notes": {"metrics": {"accuracy": 0.9}}, "parameters": 8}
    (whole / "manifest.json").write_text(json.dumps(manifest))
    for name, change in (
        ("alien", lambda folder: (folder / "manifest.json").write_text('{"format": 1}')),
        ("bare", lambda folder: (folder / "adapter.safetensors").unlink()),
        ("cut", lambda folder: (folder / "manifest.json").write_text('{"form')),
        (".draft", lambda folder: None),
    ):
        shutil.copytree(whole, tmp_path / "runs" / name)
        change(tmp_path / "runs" / name)
    listed = run("adapters", "--json")
    assert listed.code == 0
    found = {Path(one["folder"]).name: one for one in listed.json}
    assert sorted(found) == ["alien", "bare", "cut", "desk-1"]
    assert found["desk-1"]["parameters"] == 8
    assert "is damaged: 'notes'" in found["alien"]["problem"]
    assert "is no adapter: it lacks" in found["bare"]["problem"]
    assert "is damaged" in found["cut"]["problem"]
    assert run("adapters").code == 0


def test_generate_reads_json_lines(run, task, monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO('{"text": "card"}\n\n{"text": "loan"}\n'))
    assert len(run("generate", task, "--json").json) == 2


def test_errors_are_json_where_results_are(run):
    ran = run("eval", "nowhere.yaml", "--json")
    assert ran.code == 2
    assert json.loads(ran.err)["kind"] == "SpecError"
