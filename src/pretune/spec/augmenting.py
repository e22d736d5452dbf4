"""How rows are varied: by which operators, how often, with which names."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from pretune.core.names import unknown
from pretune.spec.model import Strict
from pretune.spec.problems import spec_error
from pretune.spec.rewriting import RewriteSpec

ASKING_NAMES = ("back_translation", "paraphrase")
"""Operators that ask a teacher."""

RULE_NAMES = ("entity", "synonym", "typo", "colloquial")
"""Operators that ask nobody."""

OPERATOR_NAMES = (*RULE_NAMES, *ASKING_NAMES)
ENTITY_NAMES = ("person", "company", "amount", "date", "account", "product", "place")


class AugmentSpec(Strict):
    """How rows are varied."""

    operators: tuple[str, ...] = Field(
        min_length=1,
        description="entity, synonym, typo, colloquial, back_translation, paraphrase, or several "
        "at once: entity+typo; a row's variants take them in turn",
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
    rewriting: RewriteSpec | None = Field(
        None, description="who is asked by back_translation and paraphrase, and how"
    )

    @model_validator(mode="after")
    def _known_names(self) -> Self:
        check_names(self.operators, self.entities)
        check_asked(self.operators, self.rewriting)
        return self


def uses(operators: Iterable[str], name: str) -> bool:
    """Whether the operator ``name`` is among ``operators``, chains such as ``entity+typo``."""
    return any(name in chain.split("+") for chain in operators)


def check_asked(operators: Sequence[str], rewriting: RewriteSpec | None) -> None:
    """Raise ValueError unless ``rewriting`` says whom those of ``operators`` that ask may ask, and
    is absent where none does."""
    asking = [name for name in ASKING_NAMES if uses(operators, name)]
    if asking and rewriting is None:
        raise ValueError(f'"{asking[0]}" asks a teacher; name its rewriting file: --config')
    if uses(operators, "paraphrase") and rewriting and rewriting.teacher is None:
        raise ValueError('"paraphrase" needs a teacher; translators only translate')
    if rewriting is not None and not asking:
        raise ValueError(
            f"a rewriting file is given, and no operator asks: {', '.join(ASKING_NAMES)}"
        )


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
