"""The rewriting file: who rewords rows, how, and which variants are kept."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from pretune.spec.masking import MaskSpec, need_choice
from pretune.spec.model import Strict
from pretune.spec.problems import spec_error
from pretune.spec.teacher import BudgetSpec, TeacherSpec, need_prices
from pretune.spec.yamlfile import read_mapping


class TranslatorSpec(Strict):
    """Translation models of this machine: folders with safetensors, such as OPUS-MT's."""

    forward: Path = Field(description="from the language of the rows")
    back: Path = Field(description="back into it")
    temperature: float = Field(0.7, ge=0, le=2, description="0: one translation, the likeliest")
    max_tokens: int = Field(256, ge=1, description="most tokens of a translation")


class VariantCheckSpec(Strict):
    """When a variant is kept."""

    least: float = Field(
        0.1, ge=0, le=1, description="least likeness to its row (F1 of runs of 1 to 6 characters)"
    )
    most: float = Field(
        0.9, ge=0, le=1, description="most likeness; beyond it the variant is a copy"
    )
    label: float = Field(
        0.5,
        ge=0,
        le=1,
        description="where a model of words that never saw the row reads another label in the "
        "variant: least share of the row's own probability that its label must keep; 0: unchecked",
    )


class RewriteSpec(Strict):
    """How rows are reworded by somebody who is asked."""

    teacher: TeacherSpec | None = Field(None, description="section below")
    translators: TranslatorSpec | None = Field(
        None, description="section below; in the place of a teacher, for back_translation"
    )
    budget: BudgetSpec = Field(BudgetSpec(), description="section below")
    pivots: tuple[str, ...] = Field(
        (),
        description="languages for back_translation, one drawn for each variant; default: English "
        "for Chinese rows, Chinese for others",
    )
    language: str | None = Field(
        None,
        min_length=1,
        description="language of the rows; default: Chinese or English, by their script",
    )
    tries: int = Field(2, ge=1, le=10, description="answers asked for until a variant is kept")
    checks: VariantCheckSpec = Field(VariantCheckSpec(), description="section below")
    mask: MaskSpec | None = Field(
        None,
        description="section below, or false: rows go to the teacher as they are; must be said "
        "where the teacher is on another machine",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.teacher is None) == (self.translators is None):
            raise ValueError("name one: teacher or translators")
        if self.checks.least >= self.checks.most:
            raise ValueError("checks: least must be below most")
        need_prices(self.teacher, self.budget)
        need_choice(self.teacher, self.mask)
        return self


def parse_rewriting(value: Mapping[str, Any], folder: Path | None = None) -> RewriteSpec:
    """What ``value``, as read from YAML, says; its files lie in ``folder``.

    Raises:
        SpecError: every problem found, each as ``where: message``.
    """
    try:
        spec = RewriteSpec.model_validate(dict(value))
    except ValidationError as error:
        raise spec_error(error, "rewriting") from error
    return spec if folder is None else _placed(spec, folder)


def load_rewriting(path: str | Path) -> RewriteSpec:
    """Read the rewriting file ``path``.

    Raises:
        SpecError: a missing, unreadable or broken file, or any problem with what it says.
    """
    path = Path(path)
    keys = ("teacher", "translators")
    return parse_rewriting(read_mapping(path, "rewriting file", keys), folder=path.parent)


def _placed(spec: RewriteSpec, folder: Path) -> RewriteSpec:
    pair = spec.translators
    if pair is not None:
        places = {name: folder / getattr(pair, name).expanduser() for name in ("forward", "back")}
        pair = pair.model_copy(update=places)
    return spec.model_copy(
        update={
            "teacher": spec.teacher and spec.teacher.placed(folder),
            "translators": pair,
            "mask": spec.mask and spec.mask.placed(folder),
        }
    )
