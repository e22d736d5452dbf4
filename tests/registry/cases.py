"""Versions with small made adapters: whole files that no model could load, and no torch."""

import json
from pathlib import Path
from typing import NamedTuple

from pretune.adapters.manifest import FORMAT, MANIFEST, WEIGHTS
from pretune.core.digest import of_bytes, of_json
from pretune.evaluation.goals import Outcome
from pretune.evaluation.intervals import Interval
from pretune.gating.evidence import Check, Evidence, verdict_of
from pretune.registry import Registry, Version
from pretune.registry.gates import subject_of
from pretune.spec.dump import task_value
from pretune.spec.task import parse_task


class Made(NamedTuple):
    version: Version
    folder: Path

    @property
    def digest(self) -> str:
        return self.version.digest


def make(home: Path, task: str, number: int, *, accuracy: float = 0.9, **spec) -> Made:
    """Version ``number`` of ``task``, with its adapter below ``home``."""
    weights = f"weights {number} of {task}".encode() * 50
    identity = {"weights": of_bytes(weights), "method": {"name": "lora"}, "scope": "prompt"}
    manifest = {"format": FORMAT, "digest": of_json(identity), "identity": identity}
    folder = home / f"{task}-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(weights)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    value = {
        "data": {"train": "rows.jsonl"},
        "template": {"user": "{text}", "target": "{label}"},
        "labels": ["low", "high"],
        **spec,
    }
    version = Version(
        task=task,
        spec=task_value(parse_task(value, name=task)),
        adapter=manifest["digest"],
        base="b" * 64,
        metrics={"accuracy": Interval(accuracy, accuracy - 0.05, accuracy + 0.05, 100)},
        run=f"runs/{task}-{number}",
        created="2026-01-01T00:00:00+00:00",
    )
    return Made(version, folder)


def evidence_of(version: Version, outcome: str = "pass", **changes) -> Evidence:
    """A gate's report on ``version``, each of whose goals has ``outcome``."""
    checks = tuple(
        Check(name=str(goal), outcome=Outcome(outcome), reason=f"{outcome} by hand")
        for goal in version.task_spec.goals
    )
    given = {
        **subject_of(version)._asdict(),
        "rows": "c" * 64,
        "split": "test",
        "method": "lora",
        "scope": "prompt",
        "created": "2026-01-01T00:00:00+00:00",
        "pretune": "0",
        "machine": {},
        "checks": checks,
        "metrics": {},
        **changes,
    }
    return Evidence(**{"verdict": verdict_of(given["checks"]), **given})


def filled(root: Path, task: str = "desk", count: int = 3) -> tuple[Registry, list[Made]]:
    """A registry with ``count`` versions of ``task``, none promoted."""
    registry = Registry.create(root / "registry")
    made = [make(root / "made", task, number) for number in range(count)]
    for one in made:
        registry.add(one.version, one.folder)
    return registry, made
