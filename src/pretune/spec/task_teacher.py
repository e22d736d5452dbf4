"""The teacher section of a task file: whose answers a task learns from."""

from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from pretune.spec.base import BaseSpec
from pretune.spec.model import Strict


class TaskTeacher(Strict):
    """A larger model, or an adapter that may touch all tokens; a bare string is its folder. With
    `soft`, training descends to its probabilities as well (Hinton et al. 2015, arXiv 1503.02531).
    """

    adapter: Path | None = Field(
        None, description="folder of a run or of an adapter; default: the bare base"
    )
    base: BaseSpec | None = Field(
        None, description="the teacher's base; default: that of its run, else the task's"
    )
    soft: Path | None = Field(
        None, description="file of soft labels, as `pretune data soften` writes it; training needs "
        "it, and not the teacher"
    )  # fmt: skip
    temperature: float = Field(
        2.0, gt=0, le=100, description="above 1: what the teacher holds unlikely counts more"
    )
    weight: float = Field(
        0.9, gt=0, le=1, description="of the soft loss; the rows' own answers have the rest"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_folder(cls, value: Any) -> Any:
        return {"adapter": value} if isinstance(value, (str, Path)) else value

    @field_validator("adapter", "soft", mode="after")
    @classmethod
    def _beside_the_task(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        folder: Path | None = (info.context or {}).get("folder")
        return value if value is None or folder is None else folder / value

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.adapter is None and self.base is None and self.soft is None:
            raise ValueError('name the teacher: "adapter" or "base", or its "soft" labels')
        if self.soft is None:
            for key in ("temperature", "weight"):
                if key in self.model_fields_set:
                    raise ValueError(
                        f'"{key}" is about soft labels, and none are named; name their file under '
                        f'"soft", or remove "{key}"'
                    )
        return self
