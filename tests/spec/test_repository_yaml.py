"""Every YAML file of the repository is valid, and every task file among them is a task."""

from pathlib import Path

import pytest

from pretune.spec.rules import load_rules
from pretune.spec.task import load_task
from pretune.spec.yamlfile import parse_yaml

ROOT = Path(__file__).parents[2]
FOLDERS = ("tasks", "docs", "src", "examples", "cases", "tests", "tools", ".ci", ".github")
FILES = sorted(
    path
    for folder in FOLDERS
    for suffix in ("*.yaml", "*.yml")
    for path in (ROOT / folder).rglob(suffix)
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_yaml_parses(path):
    value = parse_yaml(path.read_text("utf-8"))
    if isinstance(value, dict) and "data" in value:
        load_task(path)
    if isinstance(value, dict) and "rules" in value:
        load_rules(path)
