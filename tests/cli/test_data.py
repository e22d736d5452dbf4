"""``pretune data``: from rules and rows to a mixed, cleaned set that trains."""

import json

import pytest

from cli.conftest import ROWS, write_rows
from data.augment.reworders import good, task_rows
from data.teacher.scripted import Scripted

RULES = """
slots:
  noun: [card, pin, loan, rate]
  case: {number: {from: 1, to: 999}}
rules:
  - each: {label: [card, loan]}
    bind: {noun: noun}
    fields: {text: "case {case}: {noun} and {label}", label: "{label}"}
"""


@pytest.fixture
def folder(task):
    (task.parent / "desk.rules.yaml").write_text(RULES, "utf-8")
    return task.parent


def test_the_way_from_rules_to_a_clean_set(run, folder):
    checked = run("data", "rules", "desk.rules.yaml", "--json")
    assert checked.json["answers"] == {"card": 1000, "loan": 1000}
    made = run("data", "rules", "desk.rules.yaml", "--rows", 30, "--out", "made.jsonl", "--json")
    assert made.json["rows"] == {"rows": 30}
    varied = run(
        "data", "augment", "desk.yaml", "--with", "typo", "--out", "varied.jsonl", "--json"
    )
    assert varied.json["rows"]["rows"] > 0
    mixed = run(
        *("data", "mix", "rows.jsonl", "made.jsonl", "varied.jsonl", "--out", "mixed"),
        *("--share", "synthetic=0.4", "--test", "last.jsonl", "--asks", "text", "--json"),
    )
    assert mixed.code == 0
    counts = mixed.json["counts"]
    assert counts["train, synthetic"] * 10 <= 4 * mixed.json["rows"]["train"]
    text = (folder / "desk.yaml").read_text("utf-8")
    text = text.replace("rows.jsonl", "mixed/train.jsonl").replace(
        "held.jsonl", "mixed/validation.jsonl"
    )
    (folder / "mixed.yaml").write_text(text, "utf-8")
    cleaned = run("data", "clean", "mixed.yaml", "--out", "cleaned", "--json")
    assert cleaned.code == 0
    assert cleaned.json["rows"]["train"] + cleaned.json["rows"]["removed"] == cleaned.json["train"]
    assert (folder / "cleaned" / "report.html").exists()
    lines = (folder / "lineage.jsonl").read_text("utf-8").splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == ["rules", "augment"]
    assert run("check", "mixed.yaml").code == 0


def test_people_are_told_in_words(run, folder):
    assert "different prompts" in run("data", "rules", "desk.rules.yaml").out
    made = run("data", "rules", "desk.rules.yaml", "--rows", 8, "--out", "made.jsonl")
    assert "made.jsonl: 8 rows" in made.out
    again = run("data", "rules", "desk.rules.yaml", "--rows", 8, "--out", "made.jsonl")
    assert (again.code, "replace it: --overwrite" in again.err) == (8, True)


def test_rules_that_contradict_themselves_make_no_rows(run, folder):
    path = folder / "desk.rules.yaml"
    path.write_text(RULES.replace("and {label}", "and more"), "utf-8")
    ran = run("data", "rules", path, "--out", "made.jsonl")
    assert ran.code == 2
    assert "contradict themselves" in ran.err
    assert not (folder / "made.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("rules", "none.yaml"), 2, "no rules file"),
        (("mix", "none.jsonl", "--out", "m"), 3, "no data file"),
        (("mix", "rows.jsonl", "--out", "m", "--share", "seed"), 2, "write it like synthetic=0.5"),
        (("mix", "rows.jsonl", "--out", "m", "--cap", "sead=3"), 2, "sead"),
        (("augment", "desk.yaml", "--with", "typos", "--out", "v.jsonl"), 2, 'did you mean "typo"'),
        (("clean", "desk.yaml", "--out", "c", "--remove", "leeks"), 2, 'did you mean "leak"'),
    ],
)
def test_mistakes_end_in_words(run, folder, arguments, code, said):
    ran = run("data", *arguments)
    assert ran.code == code
    assert said in " ".join(ran.err.split())


def test_no_text_of_rows_is_printed(run, folder):
    write_rows(folder / "rows.jsonl", [*ROWS, {"text": "secret words " * 99, "label": "card"}])
    cleaned = run("data", "clean", "desk.yaml", "--out", "cleaned")
    varied = run("data", "augment", "desk.yaml", "--with", "typo", "--out", "v.jsonl")
    mixed = run("data", "mix", "rows.jsonl", "--out", "mixed")
    for ran in (cleaned, varied, mixed):
        assert ran.code == 0
        assert "secret" not in ran.out + ran.err


def test_a_teacher_is_asked_as_its_file_says(run, folder):
    with Scripted(good) as server:
        (folder / "ask.yaml").write_text(
            f"teacher: {{endpoint: {{url: '{server.url}', model: m, "
            "prices: {prompt: 1, answer: 2, currency: EUR}}}\nmask: {key: k}\n"
        )
        write_rows(folder / "rows.jsonl", task_rows())
        command = ("data", "augment", "desk.yaml", "--with", "paraphrase", "--out", "v.jsonl")
        done = run(*command, "--config", "ask.yaml")
        again = run(*command, "--config", "ask.yaml", "--overwrite", "--json")
    assert done.code == 0
    assert "paraphrase is not for labels that hang on the choice of words" in done.err
    assert 'made key file "k"' in done.err
    assert "v.jsonl: 40 rows" in done.out
    assert "v.rejected.jsonl: 0 rows" in done.out
    assert "calls: answered: 40" in done.out
    assert "EUR" in done.out
    assert "Oslo" not in done.out + done.err
    assert again.json["from_cache"] == 40
    assert again.json["spent"]["calls"] == 40
    assert run(*command, "--overwrite").code == 2
