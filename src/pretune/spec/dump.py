"""Writing tasks: the shortest YAML, or mapping, that says the same."""

from pathlib import Path
from typing import Any

import yaml

from pretune.core.paths import relative_path
from pretune.spec.data import HubSource
from pretune.spec.task import TaskSpec, default_metrics, default_scope


def dump_task(task: TaskSpec, folder: Path | None = None) -> str:
    """YAML of ``task`` without its defaults; ``load_task`` reads it back as an equal task.

    Data paths are written relative to ``folder`` where one is given.
    """
    return yaml.safe_dump(task_value(task, folder), sort_keys=False, allow_unicode=True, width=1000)


def task_value(task: TaskSpec, folder: Path | None = None) -> dict[str, Any]:
    """What :func:`dump_task` writes, as JSON values; ``parse_task`` reads it back."""
    value = task.model_dump(mode="json", exclude_defaults=True)
    value["data"] = {**value["data"], **_sources(task, folder)}
    value["method"] = _named(task.method.name, value.get("method", {}))
    if "base" in value:
        value["base"] = _named(task.base.name, value["base"])
    if task.begin_with is not None:
        value["begin_with"] = _path(task.begin_with, folder)
    if task.teacher is not None:
        for key in ("adapter", "soft"):
            if (path := getattr(task.teacher, key)) is not None:
                value["teacher"][key] = _path(path, folder)
    if task.labels and all(words == key.replace("_", " ") for key, words in task.labels.items()):
        value["labels"] = list(task.labels)
    if task.metrics == default_metrics({"labels": task.labels}):
        value.pop("metrics", None)
    if task.scope is default_scope({"method": task.method}):
        value.pop("scope", None)
    if task.goals:
        value["goals"] = [goal.value() for goal in task.goals]
    ordered = {key: value[key] for key in TaskSpec.model_fields if key in value}
    if ordered["method"] == "lora":
        del ordered["method"]
    return ordered


def _named(name: str, rest: dict[str, Any]) -> Any:
    rest = {key: value for key, value in rest.items() if key != "name"}
    return {"name": name, **rest} if rest else name


def _sources(task: TaskSpec, folder: Path | None) -> dict[str, Any]:
    written = {}
    for split in ("train", "validation", "test"):
        sources = getattr(task.data, split)
        if sources:
            items = [_source(source, folder) for source in sources]
            written[split] = items[0] if len(items) == 1 else items
    return written


def _source(source: Path | HubSource, folder: Path | None) -> Any:
    if isinstance(source, HubSource):
        return source.model_dump(mode="json", exclude_defaults=True)
    return _path(source, folder)


def _path(path: Path, folder: Path | None) -> str:
    return relative_path(path, folder) if folder else path.as_posix()
