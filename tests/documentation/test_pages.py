"""What the documentation prints is executed, parsed or generated."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
import typer

from documentation.pages import PAGES, ROOT, Fence, all_fences, fences, running
from pretune.cli.app import app
from pretune.spec.distil import parse_distil
from pretune.spec.limits import LimitsSpec
from pretune.spec.rewriting import parse_rewriting
from pretune.spec.rules import parse_rules
from pretune.spec.search import SearchSpec, parse_search
from pretune.spec.task import parse_task
from pretune.spec.yamlfile import parse_yaml

SMALLEST = {
    "data": {"train": "rows.jsonl"},
    "template": {"system": "Say it.", "user": "{text}", "target": "{label}"},
    "labels": ["low", "high"],
}
"""What a page leaves out when it shows some keys of a task file."""

KINDS = {"", "python", "console", "yaml", "text", "json", "diff", "mermaid", "markdown"}


def ids(fence: Fence) -> str:
    return str(fence)


@pytest.mark.parametrize(
    "page", [p for p in PAGES if p.exists() and fences(p, "python")], ids=lambda p: p.name
)
def test_python_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = fences(page)
    with running() as run:
        for place, fence in enumerate(shown):
            if fence.kind != "python":
                continue
            run.run(fence)
            after = shown[place + 1] if place + 1 < len(shown) else None
            if after and after.kind == "text" and after.follows:
                assert run.printed.strip() == after.text.strip(), f"{after} is not what is printed"


def commands(fence: Fence) -> list[str]:
    """The commands of a console fence: lines after ``$``, continued by a backslash."""
    lines = fence.text.replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def parse_command(line: str) -> None:
    words = shlex.split(line.partition(" | ")[2] or line, comments=True)
    if words[0] != "pretune" or words[1:] == ["--help"]:
        return
    command, rest = typer.main.get_command(app), words[1:]
    while hasattr(command, "commands"):
        command, rest = command.commands[rest[0]], rest[1:]
    command.make_context(words[0], rest)


@pytest.mark.parametrize("fence", all_fences("console"), ids=ids)
def test_commands_parse(fence):
    assert commands(fence), "a console fence shows commands after a $"
    for line in commands(fence):
        try:
            parse_command(line)
        except Exception as error:
            pytest.fail(f"{fence}: {line}: {error!r}")


def test_a_wrong_option_is_found():
    with pytest.raises(Exception, match="--adaptor"):
        parse_command("pretune eval task.yaml --adaptor x")
    with pytest.raises(Exception, match="--shares"):
        parse_command("pretune tasks canary desk 3f --shares 0.1")
    with pytest.raises(KeyError, match="toon"):
        parse_command("pretune toon task.yaml")


@pytest.mark.parametrize("fence", all_fences("yaml"), ids=ids)
def test_yaml_is_a_file_that_pretune_reads(fence):
    value = parse_yaml(fence.text)
    if value.keys() <= LimitsSpec.model_fields.keys():
        LimitsSpec.model_validate(value)
        return
    if value.keys() <= SearchSpec.model_fields.keys():
        parse_search(value)
        return
    if "rules" in value:
        parse_rules(value, name="rules")
        return
    if value.keys() & {"translators", "pivots"}:
        parse_rewriting(value)
        return
    if "teacher" in value and not value["teacher"].keys() & {"adapter", "soft"}:
        parse_distil(value)
        return
    parse_task(value if "data" in value and "template" in value else SMALLEST | value, name="task")


@pytest.mark.parametrize("fence", all_fences(), ids=ids)
def test_kinds_are_known(fence):
    assert fence.kind in KINDS, f"{fence}: say what this is"


_LINK = re.compile(r"(?<!\\)\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of ``page``."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_resolve(page):
    assert page.exists()
    broken = []
    for link in _LINK.findall(page.read_text("utf-8")):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    listed = set(_LINK.findall(index))
    pages = {str(p.relative_to(ROOT / "docs")) for p in PAGES if (ROOT / "docs") in p.parents}
    assert pages - {"index.md"} <= listed


_NAMED = re.compile(r"`((?:[\w.]+/)+\w+\.py)(?:::(\w+))?`")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_named_files_and_tests_exist(page):
    """Source files in backticks, by their path here or inside the package."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    missing = []
    for name, test in _NAMED.findall(prose):
        homes = [home / name for home in (ROOT, ROOT / "src" / "pretune")]
        if not any(home.is_file() for home in homes):
            missing.append(name)
        if test and f"def {test}(" not in (ROOT / name).read_text("utf-8"):
            missing.append(f"{name}::{test}")
    assert not missing


@pytest.fixture
def written(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    names = ("matrix", "commands", "rules", "distil", "rewriting")
    return [importlib.import_module(f"docs_{name}") for name in names]


def test_generated_pages_are_up_to_date(written):
    for module in written:
        assert module.PAGE.read_text("utf-8") == module.page(), "run: python tools/docs.py"
