"""``pretune data mask`` and ``unmask``: counts are told, what was found is not."""

import json
import stat

import pytest

SECRET = "my name is John Smith, 13800138000, password: hunter2"


@pytest.fixture
def rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": SECRET}) + "\n{oops\n")
    return tmp_path


def private(text):
    return any(one in text for one in ("John", "Smith", "13800138", "hunter"))


def test_counts_are_told_and_nothing_else(run, rows):
    ran = run("data", "mask", "rows.jsonl", "--out", "m.jsonl", "--key", "k", "--json")
    assert ran.code == 0
    assert ran.json["counts"] == {"PERSON": 1, "PHONE": 1, "SECRET": 1, "not read: broken line": 1}
    assert 'made key file "k"' in ran.err
    for path in rows.rglob("*"):
        if path.is_file() and path.name != "rows.jsonl":
            assert not private(path.read_bytes().decode("utf-8", "replace")), path
    assert not private(ran.out + ran.err)
    assert stat.S_IMODE((rows / "k").stat().st_mode) == 0o600
    back = run("data", "unmask", "m.jsonl", "--out", "u.jsonl", "--key", "k")
    assert back.code == 0
    assert not private(back.out + back.err)
    assert json.loads((rows / "u.jsonl").read_text())["text"] == SECRET


def test_only_the_types_asked_for(run, rows):
    ran = run("data", "mask", "rows.jsonl", "--out", "m.jsonl", "--key", "k", "--types", "phone")
    assert ran.code == 0
    assert "hunter2" in (rows / "m.jsonl").read_text()
    assert "138001" not in (rows / "m.jsonl").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["mask", "rws.jsonl", "--out", "m", "--key", "k"], 3, 'did you mean "rows.jsonl"'),
        (["mask", "rows.jsonl", "--out", "m.jsonl", "--key", "k", "--types", "phon"], 2, "phone"),
        (["mask", "rows.jsonl", "--out", "m.jsonl", "--key", "k", "--spans", "x"], 2, "entities="),
        (["mask", "rows.jsonl", "--out", "m.jsonl", "--key", "rows.jsonl"], 3, "key file"),
        (["unmask", "rows.jsonl", "--out", "m.jsonl", "--key", "none"], 3, 'no key file "none"'),
    ],
)
def test_what_is_wrong_is_said(run, rows, arguments, code, said):
    ran = run("data", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert said in " ".join(ran.err.split())
    assert not (rows / "m.jsonl").exists()
    assert not (rows / "k").exists()
