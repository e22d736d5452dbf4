"""Task files: the smallest one works, and every mistake is named with what to do."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pretune.core.errors import ScopeError, SpecError
from pretune.core.scope import Scope
from pretune.spec.base import BaseSpec
from pretune.spec.data import HubSource
from pretune.spec.dump import dump_task
from pretune.spec.goals import Goal
from pretune.spec.methods import METHODS, DoraConfig, LoraConfig, PromptTuningConfig
from pretune.spec.task import Kind, load_task, parse_task

SMALLEST = """\
data:
  train: tickets.jsonl
template:
  system: "Say how urgent the ticket is."
  user: "{text}"
  target: "{label}"
labels: [low, very_high]
"""


def value(**changes):
    return {**yaml.safe_load(SMALLEST), **changes}


def task(**changes):
    return parse_task(value(**changes), name="t")


def write(tmp_path, text, name="urgency.yaml"):
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return path


def test_smallest_file_takes_the_vetted_recipe(tmp_path):
    spec = load_task(write(tmp_path, SMALLEST))
    assert spec.name == "urgency"
    assert spec.base == BaseSpec(name="embedded", precision="fp32")
    assert spec.data.train == (tmp_path / "tickets.jsonl",)
    assert spec.labels == {"low": "low", "very_high": "very high"}
    assert (spec.kind, spec.metrics) == (Kind.CLASSIFICATION, ("accuracy", "macro_f1"))
    assert (spec.method, spec.scope) == (LoraConfig(), Scope.PROMPT)
    assert spec.train.learning_rate is None
    assert spec.train.batch_size is None


def test_rates_of_matrices_fall_with_the_width_of_the_base():
    rate = LoraConfig.learning_rate
    lora, soft = LoraConfig(), PromptTuningConfig()
    assert lora.rate_at(256) == rate
    assert lora.rate_at(4096) == pytest.approx(rate / 16)
    assert lora.rate_at(64) == rate  # not vetted below, so not raised
    assert soft.rate_at(4096) == PromptTuningConfig.learning_rate


@pytest.mark.parametrize(
    ("method", "share"),
    [
        (LoraConfig(rank=32), 1),  # scale 1/2, 32 terms
        (LoraConfig(rank=32, alpha=64), 1 / 4),  # scale 2, 32 terms
        (LoraConfig(rank=64, rslora=True), 1 / 8),  # scale 2, 64 terms
        (LoraConfig(alpha=4), 1),  # not vetted below, so not raised
        (DoraConfig(rank=16, alpha=32), 1 / 2),
    ],
)
def test_rates_fall_with_how_far_a_low_rank_product_reaches(method, share):
    assert method.rate_at(256) == pytest.approx(method.learning_rate * share)


def test_importing_the_models_does_not_import_torch():
    code = "import sys, pretune.spec.task, pretune.data.dataset; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_defaults_follow_the_kind_and_the_method():
    free = task(labels=None, template={"user": "{q}", "target": "{a}"})
    assert (free.kind, free.metrics) == (Kind.GENERATION, ("exact_match", "rouge_l"))
    assert task(labels=None, template={"messages": "messages"}).kind is Kind.CHAT
    assert task(method="full").scope is Scope.ALL


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_taken_by_name(name):
    assert task(method=name).method == task(method={"name": name}).method == METHODS[name]()


@pytest.mark.parametrize("place", [".", "tasks", "../elsewhere"])
def test_a_run_finds_the_base_that_its_task_file_named_from_another_folder(
    tmp_path, monkeypatch, place
):
    work = tmp_path / "work"
    for folder in (work / "runs" / "desk", work / "tasks", tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(work)
    Path(place, "../base").mkdir()
    Path(place, "desk.yaml").write_text(f"base: ../base\n{SMALLEST}")
    spec = load_task(Path(place, "desk.yaml"))
    run = Path("runs/desk")
    (run / "task.yaml").write_text(dump_task(spec, run))
    found = load_task(run / "task.yaml").base.name
    assert Path(found).samefile(Path(place, "../base"))


@pytest.mark.parametrize("place", [".", "tasks"])
def test_a_base_is_found_from_another_working_folder(tmp_path, monkeypatch, place):
    (tmp_path / "tasks").mkdir()
    monkeypatch.chdir(tmp_path)
    Path(place, "desk.yaml").write_text(f"base: ./base\n{SMALLEST}")
    spec = load_task(Path(place, "desk.yaml"))
    assert spec.base.name == str(tmp_path / place / "base")
    # However the task file was named, it is the same task.
    assert load_task(tmp_path / place / "desk.yaml").digest() == spec.digest()


def test_sources_and_bases(tmp_path):
    spec = parse_task(
        value(data={"train": ["a.jsonl", {"hub": "x/y"}], "test": "/b.csv"}, base="./model"),
        name="t",
        folder=tmp_path,
    )
    assert spec.data.train == (tmp_path / "a.jsonl", HubSource(hub="x/y"))
    assert [str(path) for path in spec.data.test] == ["/b.csv"]
    assert spec.base.name == str(tmp_path / "model")
    assert task(base="Qwen/Qwen3-0.6B").base.name == "Qwen/Qwen3-0.6B"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"methd": "lora"}, 'task "t": unknown key "methd"; did you mean "method"? known: base, '),
        ({"method": "lorra"}, 'method: unknown method "lorra"; did you mean "lora"? known: bottl'),
        ({"method": {"rank": 4}}, "method: has no name; write it like"),
        ({"method": {"name": "lora", "rnk": 4}}, 'method: unknown key "rnk"; did you mean "rank"?'),
        ({"scope": "promt"}, 'scope: unknown scope "promt"; did you mean "prompt"? known: all, '),
        ({"train": {"epocs": 3}}, 'train: unknown key "epocs"; did you mean "epochs"?'),
        ({"train": {"epochs": 0}}, "train.epochs: input should be greater than or equal to 1, not"),
        ({"train": {"schedule": "lin"}}, 'unknown schedule "lin"; did you mean "linear"?'),
        ({"base": {"precision": "nf5"}}, 'base.precision: unknown precision "nf5"; did you mean'),
        ({"data": {}}, "data.train: is missing; add it"),
        ({"data": {"train": [{"hb": 1}]}}, 'data.train[0]: unknown key "hb"; did you mean "hub"?'),
        (
            {"data": {"train": "a", "encoding": "utf-9"}},
            'data.encoding: unknown encoding "utf-9"; known: utf-8, gb18030',
        ),
        (
            {"data": {"train": "a", "test": "b", "test_share": 0.1}},
            'data: "test" and "test_share" are both given, and only one can hold; remove one',
        ),
        ({"data": {"train": "a", "validation_share": 0.5, "test_share": 0.5}}, "1 of train would"),
        (
            {"data": {"train": ["a/x.jsonl", "b/x.jsonl"]}},
            'data.train: two files are named "x.jsonl", so "x.jsonl:1" would name two rows; rename',
        ),
        ({"template": "{text}"}, "template: the template is a mapping of segments"),
        ({"template": {"user": "{text}"}}, 'template: the template needs target, or "messages"'),
        (
            {"template": {"user": "{text", "target": "{label}"}},
            'template.user: "{" without its partner in "{text"; write "{{" for a plain brace',
        ),
        ({"template": {"user": "{}", "target": "{label}"}}, 'template.user: empty braces in "{}"'),
        (
            {"template": {"user": "x", "target": "{label}"}},
            "template: the prompt names no column, so every row would ask the same",
        ),
        (
            {"template": {"user": "{text}", "target": "yes"}},
            'template: target "yes" is the same for every row',
        ),
        (
            {"template": {"messages": "m", "user": "{text}"}},
            'template: "messages" already holds every turn; remove user or "messages"',
        ),
        ({"template": {"messages": "m"}}, 'labels need a "target:" segment and "messages" has non'),
        (
            {"label_field": "intent"},
            'the target may name the label column "{intent}" only, and it names "{label}"',
        ),
        ({"labels": [True, False]}, 'labels: label "True" was read by YAML as a truth value; put'),
        ({"labels": {"a": None, "b": "c"}}, 'labels: label "a" was read by YAML as nothing'),
        ({"labels": ["a", "a"]}, 'labels: label "a" stands twice'),
        ({"labels": ["a"]}, "labels: 1 label is no choice; list at least two"),
        ({"labels": ["a_b", "a b"]}, 'labels: labels "a_b" and "a b" share the words "a b"'),
        ({"labels": "low"}, "labels: labels are a list, or a mapping of each label to its words"),
        ({"goals": ["f1 = 3"]}, 'goals[0]: goal "f1 = 3" is not a name, one of >=, <=, >, <, and'),
        ({"name": "a/b"}, 'name: name "a/b" may hold letters, digits'),
    ],
)
def test_mistakes_are_named_with_what_to_do(changes, words):
    with pytest.raises(SpecError) as error:
        task(**changes)
    assert words in str(error.value)
    assert "problems" not in str(error.value)  # one mistake is one message
    assert "default factory" not in str(error.value)


def test_all_mistakes_are_listed_at_once():
    with pytest.raises(SpecError) as error:
        task(scope="promt", train={"epochs": "x", "seed": -1})
    lines = str(error.value).splitlines()
    assert lines[0] == 'task "t" has 3 problems:'
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        "scope",
        "train.epochs",
        "train.seed",
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "prefix_tuning", "scope": "all"}, "virtual tokens are written once"),
        ({"method": "full", "scope": "prompt"}, "would double the memory and the work"),
        ({"scope": "suffix"}, 'the template has no "context:"; add one'),
    ],
)
def test_scopes_that_make_no_sense_are_refused_with_the_reason(changes, words):
    with pytest.raises(ScopeError, match=words):
        task(**changes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data: [", r'urgency\.yaml", line 1: .*; check the indentation'),
        ("a: 1\nb: 2\na: 3\n", r'line 3: key "a" already stands on line 1; remove one'),
        ("template:\n  {text}: 1\n", "line 2: a key must be a name"),
        ("- a\n", r'urgency\.yaml" holds no mapping'),
        ("a: !!python/object:os.system 1", "could not determine a constructor"),
        ("a: \x00", "broken YAML"),
    ],
)
def test_broken_yaml_names_the_line(tmp_path, text, words):
    with pytest.raises(SpecError, match=words):
        load_task(write(tmp_path, text))


def test_files_that_cannot_be_read(tmp_path):
    write(tmp_path, SMALLEST, "tickets.yaml")
    with pytest.raises(SpecError, match=r'no task file ".*"; did you mean "tickets\.yaml"\?'):
        load_task(tmp_path / "tikets.yaml")
    with pytest.raises(SpecError, match="is a folder; name the YAML file in it"):
        load_task(tmp_path)
    (tmp_path / "gbk.yaml").write_bytes("name: 工单".encode("gb18030"))
    with pytest.raises(SpecError, match=r"is not UTF-8 \(byte 6\); save the task file as UTF-8"):
        load_task(tmp_path / "gbk.yaml")


FULL = {
    "base": {"name": "x/y", "precision": "nf4"},
    "data": {"train": ["a.jsonl", {"hub": "x/y", "config": "c"}], "validation": "v.csv"},
    "template": {"context": "{doc}", "user": "{q} {{x}}", "target": "{label}"},
    "labels": {"a": "first", "b": "second"},
    "goals": ["macro_f1 >= 0.85", "p99_latency_ms < 500"],
    "metrics": ["macro_f1"],
    "method": {"name": "bottleneck", "rank": 64},
    "scope": "suffix",
    "train": {"learning_rate": "1e-3", "schedule": "cosine"},
    "generate": {"max_new_tokens": 8},
}


@pytest.mark.parametrize("changes", [{}, FULL, {"method": "full"}])
def test_dump_is_short_and_reads_back_equal(tmp_path, changes):
    spec = parse_task(value(**changes), name="t", folder=tmp_path)
    text = dump_task(spec, tmp_path)
    assert parse_task(yaml.safe_load(text), folder=tmp_path) == spec
    if not changes:
        assert yaml.safe_load(text) == {**yaml.safe_load(SMALLEST), "name": "t"}


def test_a_task_in_a_folder_behind_a_link_finds_its_rows(tmp_path):
    (tmp_path / "disk/deep/runs").mkdir(parents=True)
    (tmp_path / "project").mkdir()
    (tmp_path / "project/runs").symlink_to(tmp_path / "disk/deep/runs")
    (tmp_path / "project/rows.jsonl").touch()
    spec = parse_task(value(data={"train": "rows.jsonl"}), name="t", folder=tmp_path / "project")
    run = tmp_path / "project/runs"
    (run / "task.yaml").write_text(dump_task(spec, run))
    (found,) = load_task(run / "task.yaml").data.train
    assert found.samefile(tmp_path / "project/rows.jsonl")


def test_digest_follows_what_the_task_says_and_not_where_it_lies(tmp_path):
    here, there = (parse_task(value(), name="t", folder=tmp_path / f) for f in ("a", "b"))
    assert here.digest() == there.digest()
    assert task(scope="all").digest() != task().digest()
    assert task(data={"train": "other.jsonl"}).digest() != task().digest()


@given(
    st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True),
    st.sampled_from([">=", "<=", ">", "<"]),
    st.integers(-10_000, 10_000).map(lambda n: n / 100),
)
def test_goals_read_back_what_they_write(metric, op, threshold):
    goal = Goal(metric=metric, op=op, threshold=threshold)
    assert Goal.model_validate(str(goal)) == goal
    assert goal.holds(threshold) == ("=" in op)
    assert goal.holds(threshold + 1) == (">" in op)
    assert not goal.holds(float("nan"))
