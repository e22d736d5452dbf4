"""``pretune data probe``: the table, JSON, progress, and what it refuses."""

import json


def test_a_probe_and_its_second_run(run, task):
    asked = ("data", "probe", "desk.yaml", "--out", "probe", "--with", "typo", "--with", "entity")
    asked += ("--rows", 8, "--steps", 2)
    first = run(*asked, "--json")
    assert first.code == 0
    assert [(one["operators"], one["variants"]) for one in first.json["effects"]] == [
        ("typo", [8]),
        ("entity", [0]),
    ]
    assert first.json["effects"][1]["impact"] == "nothing to vary"
    assert "0 runs finished, 2 to train" in first.err
    assert "rows-8.seed-0.typo 100%" in first.err
    second = run(*asked)
    assert "2 runs finished, 0 to train" in second.err
    assert "nothing to vary" in second.out
    assert "measured on 12 test rows" in second.out
    page = (task.parent / "probe/report.md").read_text("utf-8")
    assert "| 8 | typo | 8 |" in page
    assert "ask for --seeds 3" in page
    # No text of a row is printed or reported.
    assert "asked today" not in first.out + first.err + second.out + second.err + page


def test_too_many_rows(run, task):
    ran = run("data", "probe", "desk.yaml", "--out", "probe", "--rows", 2000, "--json")
    assert ran.code == 3
    said = json.loads(ran.err.splitlines()[-1])["error"]
    assert 'has "24" rows to train on, and "2000" seed rows were asked for' in said


def test_an_unknown_operator(run, task):
    ran = run("data", "probe", "desk.yaml", "--out", "probe", "--with", "typos")
    assert ran.code == 2
    assert 'unknown operator "typos"; did you mean "typo"' in ran.err
    assert not (task.parent / "probe").exists()
