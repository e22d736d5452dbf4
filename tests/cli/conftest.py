"""A task on a tiny base, in a folder of its own, and a way to run commands on it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pretune.bases.fakes import save_tiny
from pretune.cli.app import main

ROWS = [
    {"text": f"{noun} {verb} {when}", "label": label}
    for label, nouns in (("card", ("card", "pin")), ("loan", ("loan", "rate")))
    for noun in nouns
    for verb in ("lost", "late", "asked", "new")
    for when in ("today", "now", "again")
]


class Ran(NamedTuple):
    """What a command did: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run ``pretune`` with arguments, as a shell would."""

    def invoke(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["pretune", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return Ran(int(left.value.code or 0), printed.out, printed.err)

    return invoke


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny base."""
    return save_tiny(tmp_path_factory.mktemp("base"), num_hidden_layers=1)


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def task(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A task file with rows beside it; the working folder is theirs."""
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "rows.jsonl", ROWS[::2])
    write_rows(tmp_path / "held.jsonl", ROWS[1::4])
    write_rows(tmp_path / "last.jsonl", ROWS[3::4])
    path = tmp_path / "desk.yaml"
    path.write_text(
        f"""
base: {tiny}
data: {{train: rows.jsonl, validation: held.jsonl, test: last.jsonl}}
template: {{system: "Which desk?", user: "{{text}}", target: "{{label}}"}}
labels: [card, loan]
method: {{name: lora, rank: 2}}
train: {{epochs: 1, batch_size: 8}}
""",
        encoding="utf-8",
    )
    return path
