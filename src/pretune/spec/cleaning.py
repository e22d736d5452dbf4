"""What cleaning looks for, and which of it is taken out."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import Field, ValidationError, field_validator

from pretune.spec.model import Strict
from pretune.spec.problems import spec_error


class Flag(StrEnum):
    """What may be wrong with a training row."""

    DUPLICATE = "duplicate"
    LEAK = "leak"
    CONTRADICTION = "contradiction"
    NEAR_LABEL = "near-label"
    NOISE = "noise"
    LENGTH = "length"
    UNLIKE = "unlike"
    LANGUAGE = "language"
    BOILERPLATE = "boilerplate"

    @property
    def meaning(self) -> str:
        """What the flag says, for reports."""
        return {
            Flag.DUPLICATE: "asks nearly what an earlier training row asks, with the same answer",
            Flag.LEAK: "asks nearly what a validation or test row asks",
            Flag.CONTRADICTION: "asks the same as an earlier training row, with another label",
            Flag.NEAR_LABEL: "asks nearly the same as an earlier row, with another label",
            Flag.NOISE: "a model that never saw the row finds another label likelier",
            Flag.LENGTH: "far longer or shorter than the others",
            Flag.UNLIKE: "shares few words with the rows of its label",
            Flag.LANGUAGE: "in a language that few rows are in",
            Flag.BOILERPLATE: "holds a sentence that stands in many rows",
        }[self]


class CleanSpec(Strict):
    """How rows are cleaned."""

    remove: tuple[Flag, ...] = Field(
        (Flag.DUPLICATE, Flag.LEAK), description="flags whose rows are taken out of train"
    )
    near: float = Field(
        0.8, gt=0.3, le=1, description="share of shingles in common from which rows are alike"
    )
    seed: int = Field(0, ge=0, description="how rows are put into folds")

    @field_validator("remove", mode="before")
    @classmethod
    def _once_each(cls, value: Any) -> Any:
        return tuple(dict.fromkeys(value)) if isinstance(value, (list, tuple)) else value


def parse_clean(value: Mapping[str, Any]) -> CleanSpec:
    """The cleaning that ``value`` says.

    Raises:
        SpecError: every problem found, each as ``where: message``.
    """
    try:
        return CleanSpec.model_validate(value)
    except ValidationError as error:
        raise spec_error(error, "clean") from error
