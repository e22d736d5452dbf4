"""How rows of several kinds are put together: shares, caps, and what is held out."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from pretune.core.origin import RowKind
from pretune.spec.model import Strict
from pretune.spec.problems import spec_error


class MixSpec(Strict):
    """Shares and caps of the training rows by kind, and the shares of seed rows held out."""

    shares: dict[RowKind, float] = Field(
        {}, description="the largest share of the training rows that a kind may have"
    )
    caps: dict[RowKind, int] = Field({}, description="the most training rows of a kind")
    per_root: int | None = Field(
        None, ge=1, description="the most training rows made from one row, itself not counted"
    )
    validation_share: float = Field(
        0.1, ge=0, lt=0.9, description="share of the seed rows cut for validation"
    )
    test_share: float = Field(0.0, ge=0, lt=0.9, description="share of the seed rows cut for test")
    asks: tuple[str, ...] = Field(
        (),
        description="columns that ask; seed rows that ask the same fall into one split; "
        "default: the whole row counts",
    )
    seed: int = Field(0, ge=0, description="which rows are taken where not all can be")

    @model_validator(mode="after")
    def _shares_can_hold(self) -> Self:
        for kind, share in self.shares.items():
            if not 0 <= share <= 1:
                raise ValueError(f'share "{share:g}" of {kind} is not between 0 and 1')
        for kind, cap in self.caps.items():
            if cap < 0:
                raise ValueError(f'cap "{cap}" of {kind} is below 0')
        total = sum(map(exactly, self.shares.values()))
        if len(self.shares) == len(RowKind) and total < 1:
            raise ValueError(
                f"the shares of all kinds add up to {float(total):g}, so nothing could fill the "
                "rest; raise one, or leave one out"
            )
        if self.validation_share + self.test_share >= 0.9:
            cut = self.validation_share + self.test_share
            raise ValueError(f"{cut:g} of the seed rows would be held out; keep under 0.9")
        return self


def exactly(share: float) -> Fraction:
    """``share`` as it was written: 0.29 of 100 rows are 29, not 28.999..."""
    return Fraction(str(share))


def parse_mix(value: Mapping[str, Any]) -> MixSpec:
    """The mix that ``value`` says.

    Raises:
        SpecError: every problem found, each as ``where: message``.
    """
    try:
        return MixSpec.model_validate(value)
    except ValidationError as error:
        raise spec_error(error, "mix") from error
