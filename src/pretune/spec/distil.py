"""The distil file: how a folder of documents becomes question-answer pairs."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from pretune.spec.base import BaseSpec
from pretune.spec.masking import MaskSpec, need_choice
from pretune.spec.model import Strict
from pretune.spec.problems import spec_error
from pretune.spec.teacher import BudgetSpec, TeacherSpec, need_prices
from pretune.spec.yamlfile import read_mapping


class QuestionType(StrEnum):
    """What a question asks for; ``unanswerable``: what the document seems to say and does not."""

    FACT = "fact"
    PROCEDURE = "procedure"
    COMPARISON = "comparison"
    NUMBER = "number"
    UNANSWERABLE = "unanswerable"


class LimitSpec(Strict):
    """What one document may take; beyond it the document is refused, and the others are read."""

    megabytes: int = Field(200, ge=1, description="of the file, and of what is packed in it")
    pages: int = Field(2000, ge=1, description="pages of a PDF")
    seconds: float = Field(600, gt=0, description="to read it")
    memory_megabytes: int = Field(2048, ge=256, description="of the process that reads it")


class ChunkSpec(Strict):
    """How documents are cut: along headings, paragraphs and tables."""

    size: int = Field(1500, ge=100, description="most units of a chunk, its headings not counted")
    unit: Literal["characters", "tokens"] = Field("characters", description="what size counts")
    tokenizer: BaseSpec = Field(BaseSpec(), description="the base that counts tokens")


class CheckSpec(Strict):
    """When a pair is kept."""

    coverage: float = Field(
        0.6, ge=0, le=1, description="least share of the answer's words that its chunk holds"
    )
    found_within: int = Field(
        3, ge=1, description="the question must find its chunk among the first so many"
    )
    same: float = Field(
        0.7, gt=0, le=1, description="share of common words at which two questions are the same"
    )
    asked_again: tuple[QuestionType, ...] = Field(
        (QuestionType.UNANSWERABLE,),
        description="types that the teacher must answer alike when it is shown what the question "
        "finds; each costs a call",
    )
    agreement: float = Field(
        0.5, ge=0, le=1, description="least agreement (F1 of words) of the two answers"
    )


class DistilSpec(Strict):
    """How questions are made of documents."""

    teacher: TeacherSpec = Field(description="section below")
    budget: BudgetSpec = Field(BudgetSpec(), description="section below")
    limits: LimitSpec = Field(LimitSpec(), description="section below")
    chunks: ChunkSpec = Field(ChunkSpec(), description="section below")
    questions: dict[QuestionType, int] = Field(
        dict.fromkeys(QuestionType, 1), description="how many of each type a chunk is asked for"
    )
    tries: int = Field(
        2, ge=1, le=10, description="how often a chunk is asked for a type whose answer is junk"
    )
    checks: CheckSpec = Field(CheckSpec(), description="section below")
    mask: MaskSpec | None = Field(
        None,
        description="section below, or false: documents go to the teacher as they are; must be "
        "said where the teacher is on another machine",
    )
    seed: int = Field(0, ge=0, description="another seed asks for other answers")

    @field_validator("questions")
    @classmethod
    def _some(cls, value: dict[QuestionType, int]) -> dict[QuestionType, int]:
        for kind, count in value.items():
            if not 0 <= count <= 20:
                raise ValueError(f'"{count}" questions of type {kind}; ask for 0 to 20')
        if not any(value.values()):
            raise ValueError("no question is asked for; write it like {fact: 2, number: 1}")
        return {kind: value[kind] for kind in QuestionType if value.get(kind)}

    @model_validator(mode="after")
    def _money_and_mask(self) -> Self:
        need_prices(self.teacher, self.budget)
        need_choice(self.teacher, self.mask)
        return self


def parse_distil(value: Mapping[str, Any], folder: Path | None = None) -> DistilSpec:
    """What ``value``, as read from YAML, says; a key file, and bases that begin with a dot,
    lie in ``folder``.

    Raises:
        SpecError: every problem found, each as ``where: message``.
    """
    try:
        spec = DistilSpec.model_validate(dict(value))
    except ValidationError as error:
        raise spec_error(error, "distil") from error
    return spec if folder is None else _placed(spec, folder)


def load_distil(path: str | Path) -> DistilSpec:
    """Read the distil file ``path``.

    Raises:
        SpecError: a missing, unreadable or broken file, or any problem with what it says.
    """
    path = Path(path)
    return parse_distil(
        read_mapping(path, "distil file", ("teacher", "questions")), folder=path.parent
    )


def _placed(spec: DistilSpec, folder: Path) -> DistilSpec:
    tokenizer = spec.chunks.tokenizer.placed(folder)
    return spec.model_copy(
        update={
            "chunks": spec.chunks.model_copy(update={"tokenizer": tokenizer}),
            "teacher": spec.teacher.placed(folder),
            "mask": spec.mask and spec.mask.placed(folder),
        }
    )
