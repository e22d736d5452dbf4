"""docs/task-file.md is what the models say."""

import importlib.util
from pathlib import Path

import pytest
from pydantic import BaseModel

from pretune.spec.methods import METHODS
from pretune.spec.task import TaskSpec, parse_task
from pretune.spec.yamlfile import parse_yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("tool", ROOT / "tools" / "docs_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_up_to_date(tool):
    assert tool.PAGE.read_text("utf-8") == tool.page(), "run: python tools/docs_reference.py"


def test_example_on_the_page_is_a_task(tool):
    example = tool.HEAD.split("```yaml\n")[1].split("```")[0]
    assert parse_task(parse_yaml(example), name="tickets").labels == {"low": "low", "high": "high"}


def test_every_key_is_described(tool):
    models: list[type[BaseModel]] = [TaskSpec, *METHODS.values(), *(m for _, m in tool.SECTIONS)]
    silent = [
        f"{model.__name__}.{name}"
        for model in models
        for name, field in model.model_fields.items()
        if not field.description and not (model in METHODS.values() and name == "name")
    ]
    assert silent == []
