"""A case as a page: what each step's command told, in a line."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol


class Step(Protocol):
    """What is known of a step that is done; see `run.Done`."""

    name: str
    command: str
    seconds: float
    code: int
    told: Any
    compared: Any


def page(title: str, steps: Sequence[Step], folder: Path) -> str:
    """Markdown: a row a step, with its outcome, its wall time and its command."""
    lines = [
        f"# {title}",
        "",
        "| step | outcome | against the step before | s |",
        "| --- | --- | --- | ---: |",
    ]
    lines += [
        f"| {one.name} | {outcome(one, folder)} | {gain(one.compared)} | {one.seconds:.0f} |"
        for one in steps
    ]
    minutes = sum(one.seconds for one in steps) / 60
    lines += ["", f"{minutes:.0f} minutes in all. The commands:", "", "```console"]
    return "\n".join([*lines, *(f"$ {one.command}" for one in steps), "```", ""])


def outcome(step: Step, folder: Path) -> str:
    """The line for one step."""
    return TELLERS[command_of(step.command)](step, folder)


def command_of(line: str) -> str:
    """``train`` of "pretune train a.yaml", ``data label`` of "pretune data label a.yaml"."""
    words = line.split()
    return " ".join(words[1:3]) if words[1] in ("data", "tasks") else words[1]


def gain(compared: Any) -> str:
    """The first metric's difference with its interval."""
    if not compared:
        return ""
    one = compared[0]
    delta = one["delta"]
    return f"{delta['value']:+.3f} ({delta['low']:+.3f} to {delta['high']:+.3f}), {one['verdict']}"


def interval(metrics: Mapping[str, Any]) -> str:
    """The first metric with its interval."""
    name, one = next(iter(metrics.items()))
    return f"{name} {one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})"


def of_train(step: Step, folder: Path) -> str:
    """Value on the test rows."""
    out = step.command.split("--out ")[1].split()[0]
    kept = json.loads((folder / out / "evaluation" / "test" / "evaluation.json").read_text("utf-8"))
    return interval(kept["metrics"])


def of_eval(step: Step, folder: Path) -> str:
    """Value on the test rows."""
    return interval(step.told["metrics"])


def of_plan(step: Step, folder: Path) -> str:
    """What can be said of each goal before anything is trained."""
    return "; ".join(f"`{one['goal']}`: {one['prospect']}" for one in step.told["goals"])


def of_written(step: Step, folder: Path) -> str:
    """Rows of each file, and what was counted."""
    counts = {**step.told["rows"], **step.told["counts"]}
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def of_tune(step: Step, folder: Path) -> str:
    """The winner, and what it gained on test rows."""
    best = step.told["best"]
    return f"{best['says']}: {step.told['metric']} {best['value']:.3f} on validation rows"


def of_gate(step: Step, folder: Path) -> str:
    """The verdict with the reason of each check."""
    checks = (f"`{one['name']}` {one['outcome']}: {one['reason']}" for one in step.told["checks"])
    return f"**{step.told['verdict']}**; " + "; ".join(checks)


def of_added(step: Step, folder: Path) -> str:
    """The version."""
    return f"version `{step.told['version'][:8]}`"


def of_promotion(step: Step, folder: Path) -> str:
    """Whether it answers now."""
    return "promoted" if step.code == 0 else f"refused: {step.told['error']}"


TELLERS: Mapping[str, Callable[[Step, Path], str]] = {
    "train": of_train,
    "eval": of_eval,
    "plan": of_plan,
    "data label": of_written,
    "data soften": of_written,
    "data augment": of_written,
    "tune": of_tune,
    "gate": of_gate,
    "tasks add": of_added,
    "tasks promote": of_promotion,
}
