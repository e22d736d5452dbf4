"""Evidence: figures that were measured or published, each with its source; advice is reckoned from
them and from nothing else."""

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from pretune.core.errors import StorageError
from pretune.core.names import near_files
from pretune.core.scope import Scope
from pretune.spec.model import Strict
from pretune.spec.task import load_task
from pretune.training.history import StopReason


class Figure(Strict):
    """What all have: a name, and where it stands."""

    id: str
    source: str


class Quality(Figure):
    """``value`` of a tuned task on test rows (own runs: validation rows, no interval); ``weights``
    counts those trained."""

    kind: Literal["quality"] = "quality"
    task: Literal["classification", "generation", "chat"]
    set: str
    rows: int
    epochs: float
    method: str
    scope: Scope
    rank: int | None = None
    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    untuned: float | None = None
    weights: int | None = None

    def __str__(self) -> str:
        rank = f" r={self.rank}" if self.rank else ""
        interval = f" ({self.low:.3f} to {self.high:.3f})" if self.low is not None else ""
        untuned = f", untuned {self.untuned:.3f}" if self.untuned is not None else ""
        return (
            f"{self.set}: {self.method}{rank}, {self.scope}: {self.metric} "
            f"{self.value:.3f}{interval}{untuned}"
        )


class Learning(Figure):
    """Whether a task got beyond the untuned base."""

    kind: Literal["learning"] = "learning"
    rows: int
    batch: int
    epochs: int
    value: float
    untuned: float
    beyond: bool

    @property
    def steps(self) -> int:
        """Optimiser steps."""
        return self.epochs * -(-self.rows // self.batch)

    def __str__(self) -> str:
        far = "beyond" if self.beyond else "not beyond"
        return f"{self.steps} steps: {self.value:.3f}, {far} the untuned {self.untuned:.3f}"


class Rate(Figure):
    """A result at a peak learning rate."""

    kind: Literal["rate"] = "rate"
    method: str
    rate: float
    value: float

    def __str__(self) -> str:
        return f"{self.method} at {self.rate:g}: {self.value:.3f}"


class Decode(Figure):
    """One decode step of a batch."""

    kind: Literal["decode"] = "decode"
    scope: str
    tasks: int
    step_ms: float

    def __str__(self) -> str:
        return f"{self.tasks} tasks, scope {self.scope}: {self.step_ms:g} ms a step"


class StepTime(Figure):
    """One training step."""

    kind: Literal["speed"] = "speed"
    method: str
    precision: str
    step_ms: float

    def __str__(self) -> str:
        return f"{self.method}, {self.precision}: {self.step_ms:g} ms a training step"


class Published(Figure):
    """What others found."""

    kind: Literal["published"] = "published"
    about: str
    claim: str
    figure: float

    def __str__(self) -> str:
        return self.claim


_UNFINISHED = (StopReason.INTERRUPTED, StopReason.GIVEN_UP)
"""Why runs ended before they showed what they come to."""

AnyFigure = Annotated[
    Quality | Learning | Rate | Decode | StepTime | Published, Field(discriminator="kind")
]
_ALL: TypeAdapter[list[Any]] = TypeAdapter(list[AnyFigure])


@lru_cache(maxsize=1)
def shipped_evidence() -> tuple[Figure, ...]:
    """What ships with the package."""
    text = files("pretune.planning").joinpath("evidence.yaml").read_text(encoding="utf-8")
    return tuple(_ALL.validate_python(yaml.safe_load(text)))


def own_runs(folder: Path) -> tuple[Quality, ...]:
    """The finished runs anywhere under ``folder``, as evidence.

    Raises:
        StorageError: no such folder, or a run's record that cannot be read.
    """
    if not folder.is_dir():
        raise StorageError(f'"{folder}" is no folder of runs;{near_files(folder)}')
    return tuple(one for path in sorted(folder.rglob("run.json")) for one in _run(path))


def _run(path: Path) -> Iterable[Quality]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.get("reason") in _UNFINISHED:
            return
        task = load_task(path.parent / "task.yaml")
        measured = record["validation"]
        report = json.loads((path.parent / "data" / "report.json").read_text(encoding="utf-8"))
        rows = int(report["splits"]["train"]["kept"])
        metric = task.metrics[0]
        if metric in measured:
            yield Quality(
                id=f"run {path.parent.name}",
                source=f"your own run in {path.parent.name}",
                task=task.kind.value,
                set=task.name,
                rows=rows,
                epochs=task.train.epochs,
                method=record["method"],
                scope=record["scope"],
                rank=getattr(task.method, "rank", None),
                metric=metric,
                value=measured[metric],
            )
    except (OSError, ValueError, KeyError, ValidationError) as error:
        raise StorageError(
            f'the run in "{path.parent}" cannot be read ({type(error).__name__}); move it out of '
            "the folder of past runs, or train it anew"
        ) from error


def of_kind(figures: Sequence[Figure], kind: type[Figure]) -> list[Any]:
    """Those of one kind, in order."""
    return [one for one in figures if isinstance(one, kind)]
