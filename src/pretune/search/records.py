"""What became of a trial, as its folder keeps it."""

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from pydantic import Field, ValidationError

from pretune.core.errors import StorageError
from pretune.core.files import write_atomic
from pretune.core.promise import Promise
from pretune.search.point import Point
from pretune.spec.model import Strict

FILE_NAME = "trial.json"


class Fate(StrEnum):
    """Trained to its end, stopped early as a loser, refused before training, or failed in it."""

    FINISHED = "finished"
    STOPPED = "stopped early"
    REFUSED = "refused"
    FAILED = "failed"


class Mark(NamedTuple):
    """The watched metric after ``step`` steps."""

    step: int
    value: float


class Trial(Strict):
    """One configuration and what came of it. ``marks`` are its measurements, ``value`` the best of
    them; ``broken`` are goals that it does not meet, as measured; ``served`` is what came of those
    on serving, ``None`` if it was not served, and ``unserved`` why that failed; ``reason`` says why
    it was refused, stopped or failed. ``knobs`` are what was chosen, ``spec`` is the task's digest,
    ``privacy`` what the training promises of any one row."""

    number: int
    fate: Fate
    why: str
    says: str
    knobs: dict[str, str | float]
    spec: str
    value: float | None = None
    marks: tuple[Mark, ...] = ()
    metrics: dict[str, float] = Field(default_factory=dict)
    reason: str = ""
    broken: tuple[str, ...] = ()
    served: tuple[str, ...] | None = None
    unserved: str = ""
    seconds: float = 0.0
    steps: int = 0
    parameters: int = 0
    adapter_bytes: int = 0
    peak_memory_bytes: int = 0
    privacy: Promise | None = Field(None, exclude_if=lambda one: one is None)

    @classmethod
    def of(cls, number: int, point: Point, why: str, spec: str) -> "Trial":
        """A trial of which nothing is known yet; it failed unless more comes of it."""
        return cls(
            number=number,
            fate=Fate.FAILED,
            why=why,
            says=str(point),
            knobs=point.knobs,
            spec=spec,
        )

    @property
    def trained(self) -> bool:
        """Whether it was trained, and so counts against the budget."""
        return self.fate is not Fate.REFUSED

    @property
    def eligible(self) -> bool:
        """Whether it may win."""
        return self.fate is Fate.FINISHED and self.value is not None and not self.broken

    def save(self, folder: Path) -> None:
        """Write it to the trial's ``folder``: from then on it is over."""
        text = json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=1)
        write_atomic(folder / FILE_NAME, text + "\n")


def load_trial(folder: Path) -> Trial | None:
    """The trial that ``folder`` keeps; ``None`` while it is not over.

    Raises:
        StorageError: its file is damaged.
    """
    path = folder / FILE_NAME
    try:
        return Trial.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise StorageError(
            f'"{path}" is damaged ({type(error).__name__}); remove its folder to train it again'
        ) from error


def trial_folder(root: Path, number: int) -> Path:
    """Where a trial of the search in ``root`` is kept."""
    return root / "trials" / f"{number:04d}"


def load_trials(root: Path) -> list[Trial]:
    """Trials of the search in ``root`` that are over, in order."""
    folders = sorted((root / "trials").glob("[0-9]*"))
    return [trial for folder in folders if (trial := load_trial(folder)) is not None]


def winner(trials: Sequence[Trial], *, higher_is_better: bool) -> Trial | None:
    """The best that keeps its goals; of equals the smaller one, then the earlier one."""
    sign = -1.0 if higher_is_better else 1.0
    able = [one for one in trials if one.eligible]
    return min(
        able, key=lambda one: (sign * (one.value or 0.0), one.parameters, one.number), default=None
    )
