"""What commands print, on a screen and into a file."""

import io

import pytest
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from pretune.cli import output
from pretune.cli.progress import Stages

PATH = "/a/folder/whose/name/is/longer/than/the/line"


@pytest.mark.parametrize("screen", [True, False])
def test_a_path_is_whole_where_nobody_looks(monkeypatch, screen):
    printed = io.StringIO()
    console = Console(file=printed, width=20, force_terminal=screen, color_system=None)
    monkeypatch.setattr(output, "console", console)
    table = Table("a", "b")
    table.add_row("word " * 8, "2")
    output.show({}, Group(Text(PATH), table, f"made {PATH}"), as_json=False)
    lines = printed.getvalue().splitlines()
    assert (PATH in lines, f"made {PATH}" in lines) == (not screen, not screen)
    assert max(len(line) for line in lines if "│" in line) <= 20


def test_what_has_not_begun_has_no_time_that_is_left(capsys):
    with Stages({"first": 10.0, "second": 10.0}) as stages:
        stages.done("first", 0.0)
        stages.done("first", 1.0)
    began, ended = (line for line in capsys.readouterr().err.splitlines() if "%" in line)
    assert began.startswith("first 0%")
    assert "left" not in began
    assert ended.startswith("first 100%")
    assert ended.endswith("about 0 s left")
