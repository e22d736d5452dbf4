"""What commands print, on a screen and into a file."""

import io

import pytest
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from pretune.cli import output, progress
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


@pytest.mark.parametrize("name", ["cards[final]", "cards[/old]", "a:x:b"])
def test_brackets_and_colons_in_a_name_are_no_markup(capsys, name):
    table = Table("folder", title=name)
    table.add_row(name)
    output.show({}, Group(f'exported to "{name}"', table), as_json=False)
    output.errors.print(f'page: "{name}"')
    output.errors.rule(name)
    printed = capsys.readouterr()
    assert printed.out.count(name) == 3
    assert printed.err.count(name) == 2


@pytest.mark.parametrize("stage", ["pairs[final].jsonl", "pairs[/old]"])
def test_a_bar_names_a_stage_as_it_is(monkeypatch, stage):
    printed = io.StringIO()
    screen = Console(file=printed, width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr(progress, "errors", screen)
    with Stages({stage: 10.0}) as stages:
        stages.done(stage, 0.5)
    assert stage in printed.getvalue()


def test_what_has_not_begun_has_no_time_that_is_left(capsys):
    with Stages({"first": 10.0, "second": 10.0}) as stages:
        stages.done("first", 0.0)
        stages.done("first", 1.0)
    began, ended = (line for line in capsys.readouterr().err.splitlines() if "%" in line)
    assert began.startswith("first 0%")
    assert "left" not in began
    assert ended.startswith("first 100%")
    assert ended.endswith("about 0 s left")
