"""Write docs/task-file.md from the models: every key of a task file, its default, its meaning.

Run it after a change to ``src/pretune/spec``: ``python tools/docs_reference.py``.
"""

import datetime
import json
import types
from collections.abc import Iterable, Iterator
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pretune.core.scope import Scope
from pretune.spec.base import BaseSpec
from pretune.spec.data import DataSpec, HubSource
from pretune.spec.goals import Goal
from pretune.spec.methods import METHODS, VETTED_WIDTH, MethodConfig
from pretune.spec.privacy import PrivacySpec
from pretune.spec.task import GenerateSpec, TaskSpec
from pretune.spec.task_teacher import TaskTeacher
from pretune.spec.template import TemplateSpec
from pretune.spec.training import TrainSpec

PAGE = Path(__file__).parents[1] / "docs" / "task-file.md"

HEAD = """\
# The task file

<!-- Written by tools/docs_reference.py from src/pretune/spec; change it there. -->

One YAML file says what a task is. The smallest useful one:

```yaml
data:
  train: tickets.jsonl
template:
  system: "Say how urgent the ticket is."
  user: "{text}"
  target: "{label}"
labels: [low, high]
```

Everything else has a default, and the defaults are the vetted recipe. `pretune init tickets.jsonl`
writes such a file. An unknown key is an error that names the nearest known one. Paths are relative
to the task file.

In a template, `{text}` stands for the row's column `text`, whatever its name holds: there are no
expressions. `{{` and `}}` are plain braces.
"""

SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("`base`", BaseSpec),
    ("`data`", DataSpec),
    ("`data`: a data set of the hub", HubSource),
    ("`template`", TemplateSpec),
    ("`goals`", Goal),
    ("`teacher`", TaskTeacher),
    ("`train`", TrainSpec),
    ("`train`: `privacy`", PrivacySpec),
    ("`generate`", GenerateSpec),
)


def page() -> str:
    """The whole page as Markdown."""
    parts = [HEAD, *_section("The file", TaskSpec)]
    for title, model in SECTIONS:
        parts += _section(title, model)
    parts.append(
        "## `method`\n\nA name alone takes the method's defaults; "
        "`{name: lora, rank: 16}` changes some.\n"
    )
    for name, config in METHODS.items():
        parts += _method(name, config)
    return "\n".join(parts)


def _section(title: str, model: type[BaseModel]) -> Iterator[str]:
    yield f"## {title}\n"
    yield f"{plain(model.__doc__)}\n"
    yield table(model)


def _method(name: str, config: type[MethodConfig]) -> Iterator[str]:
    yield f"### `{name}`\n"
    yield f"{plain(config.__doc__)}\n"
    scopes = ", ".join(f"`{scope}`" for scope in Scope if scope not in config.refused_scopes)
    rate = f"{config.learning_rate:g}"
    if config.trains_matrices:
        rate += f" up to a width of {VETTED_WIDTH}, in inverse proportion beyond"
    if config.reach is not MethodConfig.reach:
        rate += ", and less where scale x rank is more than 16"
    yield (
        f"Scopes: {scopes}. Where `train` gives none: learning rate {rate}; "
        f"{config.batch_size} rows in a step.\n"
    )
    for reason, refused in _reasons(config).items():
        listed = ", ".join(f"`{scope}`" for scope in refused)
        yield f"Refused: {listed}: {reason}.\n"
    yield table(config)


def _reasons(config: type[MethodConfig]) -> dict[str, list[Scope]]:
    reasons: dict[str, list[Scope]] = {}
    for scope, reason in config.refused_scopes.items():
        reasons.setdefault(reason, []).append(scope)
    return reasons


def sections(head: str, parts: Iterable[tuple[str, type[BaseModel]]]) -> str:
    """A page: ``head``, then each model's docstring and keys under its title."""
    found = [head]
    for title, model in parts:
        found += _section(title, model)
    return "\n".join(found)


def table(model: type[BaseModel]) -> str:
    """The keys of ``model`` as a Markdown table."""
    lines = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in model.model_fields.items():
        if get_origin(field.annotation) is Literal and name == "name" and model is not BaseSpec:
            continue  # a method's own name; it heads the section
        cells = (
            f"`{field.alias or name}`",
            _values(field.annotation),
            _default(field),
            field.description or "",
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n" if len(lines) > 2 else "No options.\n"


def _values(annotation: Any) -> str:
    """What a key takes, in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _values(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (types.UnionType, Union):
        kinds = [_values(item) for item in arguments if item is not type(None)]
        return " or ".join(dict.fromkeys(kinds))
    if origin is tuple:
        return f"list of {_values(arguments[0])}"
    if origin is dict:
        return "list or mapping"
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return ", ".join(f"`{value}`" for value in annotation)
    if isinstance(annotation, type) and issubclass(annotation, MethodConfig):
        return "name or section below"
    if annotation is Goal:
        return "text"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section below"
    return {
        str: "text",
        int: "whole number",
        float: "number",
        Decimal: "number",
        datetime.date: "date",
        bool: "true or false",
    }.get(annotation, "path")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "" if "default:" in (field.description or "") else "required"
    if field.default_factory is not None or field.default is None:
        return ""
    value = field.default
    if isinstance(value, BaseModel):
        return f"`{value.name}`" if hasattr(value, "name") else ""
    return f"`{value}`" if isinstance(value, (str, Decimal)) else f"`{json.dumps(value)}`"


def plain(text: str | None) -> str:
    """A docstring as Markdown."""
    return " ".join((text or "").split()).replace("``", "`")


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
