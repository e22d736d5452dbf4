"""How rows are varied: by which operators, how often, with which names."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from pretune.core.names import unknown
from pretune.spec.model import Strict
from pretune.spec.problems import spec_error

OPERATOR_NAMES = ("entity", "synonym", "typo", "colloquial")
ENTITY_NAMES = ("person", "company", "amount", "date", "account", "product", "place")


class AugmentSpec(Strict):
    """How rows are varied."""

    operators: tuple[str, ...] = Field(
        min_length=1,
        description="entity, synonym, typo, colloquial, or several at once: entity+typo; a row's "
        "variants take them in turn",
    )
    per_row: int = Field(1, ge=1, le=100, description="variants of each row")
    entities: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="types that entity changes; default: all, and without amount and date where "
        "the task has labels",
    )
    names: Path | None = Field(
        None,
        description="word file whose sections, such as [en.company], are put for the package's",
    )
    seed: int = Field(0, ge=0, description="another seed makes other variants")

    @model_validator(mode="after")
    def _known_names(self) -> Self:
        check_names(self.operators, self.entities)
        return self


def check_names(operators: Iterable[str], entities: Iterable[str] | None) -> None:
    """Raise UnknownName unless all of ``operators``, chains such as ``entity+typo`` among them, and
    all of ``entities`` exist."""
    for chain in operators:
        for name in chain.split("+"):
            if name not in OPERATOR_NAMES:
                raise unknown("operator", name, OPERATOR_NAMES)
    for name in entities or ():
        if name not in ENTITY_NAMES:
            raise unknown("entity", name, ENTITY_NAMES)


def parse_augment(value: Mapping[str, Any]) -> AugmentSpec:
    """The augmentation that ``value`` says.

    Raises:
        SpecError: every problem found, each as ``where: message``.
    """
    try:
        return AugmentSpec.model_validate(value)
    except ValidationError as error:
        raise spec_error(error, "augment") from error
