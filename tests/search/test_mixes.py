"""Rows by share, for a search that is killed while they are written."""

import json

import pytest

from data.workshop.cases_draft import Stopped, die_after
from pretune.core.origin import RowKind, made
from pretune.search.mixes import Mixes
from pretune.spec.task import parse_task


@pytest.fixture
def task(tmp_path):
    rows = [{"text": f"row {n}", "label": ("low", "high")[n % 2]} for n in range(60)]
    rows += [
        made({"text": f"made {n}", "label": "low"}, RowKind.SYNTHETIC, "rules", "r")
        for n in range(20)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8")
    value = {
        "name": "desk",
        "data": {"train": "rows.jsonl", "validation_share": 0.2, "test_share": 0.2},
        "template": {"user": "{text}", "target": "{label}"},
        "labels": ["low", "high"],
    }
    return parse_task(value, folder=tmp_path)


def held_out(task):
    return {split: getattr(task.data, split)[0].read_bytes() for split in ("validation", "test")}


@pytest.mark.parametrize("renamed", [0, 1, 2, 3])
@pytest.mark.parametrize("share", [1.0, 0.1])
def test_what_is_held_out_is_the_same_after_a_kill(task, tmp_path, monkeypatch, renamed, share):
    shares = {RowKind.SYNTHETIC: share}
    whole = Mixes(task, tmp_path / "whole").task_of(task, shares)
    die_after(monkeypatch, renamed)
    with pytest.raises(Stopped):
        Mixes(task, tmp_path / "parts").task_of(task, shares)
    monkeypatch.undo()
    found = Mixes(task, tmp_path / "parts").task_of(task, shares)
    assert held_out(found) == held_out(whole)
    assert found.data.train[0].read_bytes() == whole.data.train[0].read_bytes()
    assert not list((tmp_path / "parts").rglob("*.part*"))
