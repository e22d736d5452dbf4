"""A search that is over in seconds, shared by these tests and by processes that are killed."""

import json
from pathlib import Path

from pretune.api import foresight
from pretune.core.events import Event
from pretune.spec.search import parse_search
from pretune.spec.task import TaskSpec, parse_task
from pretune.training.estimate.speed import Speed

SMALL = parse_search({"trials": 3, "methods": ["lora", "bottleneck"], "ranks": [2, 4]})


class Heard:
    """A sink that keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def begun(self) -> list[tuple[int, int]]:
        """Trial, and step at which its training began."""
        return [(e.values["trial"], e.step) for e in self.events if e.kind == "train.start"]


def make_task(folder: Path, base: Path, **changes) -> TaskSpec:
    rows = [
        {"text": f"{('the card was lost', 'send money')[n % 2]} {n}", "label": ("yes", "no")[n % 2]}
        for n in range(60)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "rows.jsonl").write_text(text, encoding="utf-8")
    value = {
        "name": "desk",
        "base": str(base),
        "data": {"train": "rows.jsonl", "validation_share": 0.2, "test_share": 0.2},
        "template": {"user": "{text}", "target": "{label}"},
        "labels": ["yes", "no"],
        "method": {"name": "lora", "rank": 2},
        "train": {"epochs": 2, "evaluations_per_epoch": 2, "batch_size": 12},
    }
    return parse_task(value | changes, folder=folder)


def fixed_speed(device, *, bf16):
    """Instead of a second of trying the machine, and the same on every one."""
    return Speed(1e11, 1e10)


def quicken() -> None:
    """As the tests do by monkeypatch, in a process of its own."""
    foresight.speed_of = fixed_speed
