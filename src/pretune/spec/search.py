"""The search file: what ``pretune tune`` may choose from, and what it may spend."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from pretune.core.names import unknown
from pretune.core.origin import RowKind
from pretune.core.scope import Scope
from pretune.spec.methods import METHODS
from pretune.spec.model import Strict
from pretune.spec.problems import spec_error
from pretune.spec.yamlfile import read_mapping

USUAL_TRIALS = 20
"""Trials of a search that names no budget."""

USUAL_METHODS = ("lora", "bottleneck", "direft", "prefix_tuning")
"""One of each family. Of the others, `dora` is near `lora`, `mam` is two of these at once,
`prompt_tuning` learns slowly, and `full` is a base of its own for each task."""

USUAL_SHARES = (0.0, 0.25, 0.5, 1.0)


class SearchSpec(Strict):
    """What may be chosen, and the budget. What is not named has a usual choice, the task's own
    value included; what is named holds."""

    trials: int | None = Field(
        None, ge=1, description=f"most trainings; default: {USUAL_TRIALS}, if no minutes are named"
    )
    minutes: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="most wall time, earlier parts counted in"
    )
    methods: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description=f"default: {', '.join(USUAL_METHODS)}, and the task's own",
    )
    scopes: tuple[Scope, ...] | None = Field(
        None, min_length=1, description="default: prompt, all, and the task's own"
    )
    ranks: tuple[int, ...] | None = Field(
        None,
        min_length=1,
        description="of methods that have one; default: 4, 8, 16, 32, and the task's own",
    )
    lengths: tuple[int, ...] | None = Field(
        None,
        min_length=1,
        description="virtual tokens of prefix and prompt tuning; default: 10, 20, 40, and the "
        "task's own",
    )
    rates: tuple[float, float] = Field(
        (0.25, 4.0),
        description="lowest and highest learning rate, as factors of the vetted rate of the method "
        "on this base; [1, 1] leaves it alone",
    )
    shares: dict[RowKind, tuple[float, ...]] | None = Field(
        None,
        description="largest shares of the training rows that synthetic and augmented rows may "
        "have; default: 0, 0.25, 0.5 and 1 of each kind that the rows hold",
    )
    similar: int = Field(
        2, ge=0, le=20, description="similar tasks of the registry whose recipes are tried first"
    )
    seed: int = Field(0, ge=0, lt=2**31, description="of the choices; trainings keep the task's")

    @field_validator("methods")
    @classmethod
    def _known_methods(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in value or ():
            if name not in METHODS:
                raise unknown("method", name, METHODS)
        return value

    @field_validator("methods", "scopes", "ranks", "lengths")
    @classmethod
    def _each_once(cls, value: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        if twice := [one for one in value or () if (value or ()).count(one) > 1]:
            raise ValueError(f'"{twice[0]}" is named twice; name it once')
        return value

    @field_validator("ranks", "lengths")
    @classmethod
    def _at_least_one(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if few := [one for one in value or () if one < 1]:
            raise ValueError(f'"{few[0]}" is no size of an adapter; name 1 or more')
        return value

    @model_validator(mode="after")
    def _ranges_hold(self) -> Self:
        low, high = self.rates
        if not 0 < low <= high:
            raise ValueError(
                f'rates "{low:g}, {high:g}" are no range; write the lowest factor, above 0, and '
                "then the highest"
            )
        for kind, shares in (self.shares or {}).items():
            if kind is RowKind.SEED:
                raise ValueError(
                    '"seed" rows are all used; limit "synthetic" or "augmented" rows instead'
                )
            if not shares or any(not 0 <= share <= 1 for share in shares):
                raise ValueError(f"shares of {kind} must be one or more numbers between 0 and 1")
        return self

    @property
    def most_trials(self) -> int | None:
        """The budget in trials; ``None``: minutes alone end the search."""
        return USUAL_TRIALS if self.trials is None and self.minutes is None else self.trials

    def shared(self) -> dict[str, Any]:
        """What all parts of a search have in common; the budget may change between them."""
        return self.model_dump(mode="json", exclude={"trials", "minutes"})


def parse_search(value: Mapping[str, Any]) -> SearchSpec:
    """The search that ``value``, as read from YAML, says.

    Raises:
        SpecError: every problem found, each as ``where: message``.
    """
    try:
        return SearchSpec.model_validate(dict(value))
    except ValidationError as error:
        raise spec_error(error, "search") from error


def load_search(path: str | Path) -> SearchSpec:
    """Read the search file ``path``.

    Raises:
        SpecError: a missing, unreadable or broken file, or any problem with what it says.
    """
    return parse_search(read_mapping(Path(path), "search file", ("trials", "methods")))
