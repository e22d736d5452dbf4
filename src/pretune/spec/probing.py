"""How made rows are probed: which operators and files, on how many seed rows, how often."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from pretune.spec.augmenting import (
    ASKING_NAMES,
    RULE_NAMES,
    AugmentSpec,
    check_asked,
    check_names,
    uses,
)
from pretune.spec.model import Strict
from pretune.spec.problems import spec_error
from pretune.spec.rewriting import RewriteSpec

USUAL_ROWS = (100, 500, 2000)
"""Numbers of seed rows where none are named, as far as a task has so many."""

ALL_AT_ONCE = "+".join(RULE_NAMES)


class ProbeSpec(Strict):
    """Which operators and files are compared with seed rows alone, and on how many of those."""

    operators: tuple[str, ...] = Field(
        (*RULE_NAMES, ALL_AT_ONCE),
        description="each is compared by itself, several at once as entity+typo; default: entity, "
        "synonym, typo and colloquial, each alone, and all four at once; none beside files",
    )
    add: tuple[Path, ...] = Field(
        (),
        description="files of rows, as distilling, rules, augmenting and mixing write them; each "
        "is added by itself to the seed rows",
    )
    rows: tuple[int, ...] | None = Field(
        None,
        min_length=1,
        description="numbers of seed rows; default: 100, 500 and 2,000, as far as there are so "
        "many",
    )
    seeds: int = Field(
        1,
        ge=1,
        le=100,
        description="repeats, each with its own seed rows, variants, initial weights and order",
    )
    seed: int = Field(0, ge=0, description="the first of the seeds")
    steps: int | None = Field(
        None,
        ge=1,
        description="optimiser steps of every training; default: the task's epochs over the seed "
        "rows and all variants",
    )
    held_rows: int | None = Field(
        None, ge=1, description="most held-out rows to measure on; default: all"
    )
    per_row: int = Field(1, ge=1, le=100, description="variants of each seed row")
    entities: tuple[str, ...] | None = Field(
        None, min_length=1, description="types that entity changes; default: as augment has it"
    )
    names: Path | None = Field(
        None, description="word file with names of your own; default: the package's"
    )
    rewriting: RewriteSpec | None = Field(
        None, description="who is asked by back_translation and paraphrase, and how"
    )

    @model_validator(mode="before")
    @classmethod
    def _files_alone(cls, value: Any) -> Any:
        """Files take the place of the usual operators."""
        return {"operators": (), **value} if isinstance(value, dict) and value.get("add") else value

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        check_names(self.operators, self.entities)
        check_asked(self.operators, self.rewriting)
        if not self.changes:
            raise ValueError("neither an operator nor a file of rows is named; name one to probe")
        named: dict[str, Sequence[str | int]] = {
            "operator": self.operators,
            "file": [str(path) for path in self.add],
            "number of rows": self.rows or (),
        }
        for name, given in named.items():
            if twice := [one for one in given if given.count(one) > 1]:
                raise ValueError(f'{name} "{twice[0]}" is named twice; name it once')
        for place, path in enumerate(self.add):
            if same := [other for other in self.add[:place] if other.name == path.name]:
                raise ValueError(
                    f'"{same[0]}" and "{path}" have one name, by which the report tells them; '
                    "rename one of them"
                )
        if few := [count for count in self.rows or () if count < 1]:
            raise ValueError(f'"{few[0]}" seed rows are none to train on; name 1 or more')
        return self

    @property
    def changes(self) -> tuple[str, ...]:
        """What is compared with seed rows alone: operators, and files by their names."""
        return (*self.operators, *(path.name for path in self.add))

    def file(self, change: str) -> Path | None:
        """The file of that name; ``None`` for operators."""
        return next((path for path in self.add if path.name == change), None)

    def augment(self, operators: str, seed: int) -> AugmentSpec:
        """How ``operators`` vary rows in the repeat of ``seed``."""
        return AugmentSpec(
            operators=(operators,),
            per_row=self.per_row,
            entities=self.entities,
            names=self.names,
            seed=seed,
            rewriting=self.rewriting if any(uses([operators], n) for n in ASKING_NAMES) else None,
        )

    def shared(self) -> dict[str, Any]:
        """What all runs of a folder have in common; operators, files, rows and seeds may be
        added."""
        varying = {"operators", "add", "rows", "seeds", "seed", "names", "rewriting"}
        return self.model_dump(mode="json", exclude=varying)


def parse_probe(value: Mapping[str, Any]) -> ProbeSpec:
    """The probe that ``value`` says.

    Raises:
        SpecError: every problem found, each as ``where: message``.
    """
    try:
        return ProbeSpec.model_validate(value)
    except ValidationError as error:
        raise spec_error(error, "probe") from error
