"""The work whose cost is asked: everything about a training that decides memory and time.

Nothing of a row's text is in it, only how long its parts are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pretune.core.records import TokenExample
from pretune.core.scope import Scope
from pretune.core.segments import Role, TokenSegment
from pretune.spec.base import BaseSpec
from pretune.spec.methods import AnyMethod
from pretune.spec.training import TrainSpec

Lengths = tuple[tuple[Role, int], ...]
"""The parts of one row: their roles and numbers of tokens."""


class Measuring(BaseModel):
    """Rows that are answered at once while training is measured, and what each may answer: labels
    of these numbers of tokens (``options``) are scored, else ``new_tokens`` are written."""

    model_config = ConfigDict(frozen=True)

    rows: tuple[Lengths, ...]
    options: tuple[int, ...] = ()
    new_tokens: int = Field(1, ge=1)


class Work(BaseModel):
    """One training on one machine. ``rows`` are the longest that one step may hold."""

    model_config = ConfigDict(frozen=True)

    base: BaseSpec
    method: AnyMethod
    scope: Scope
    train: TrainSpec
    rows: tuple[Lengths, ...] = Field(min_length=1)
    measuring: Measuring | None = None
    devices: int = Field(1, ge=1)

    @property
    def batch(self) -> int:
        """Rows in a step."""
        return len(self.rows)

    @property
    def piece(self) -> int:
        """Rows in one forward pass on one device."""
        share = -(-self.batch // self.devices)
        return min(share, self.train.most_at_once or share)

    @property
    def tokens(self) -> int:
        """Positions of the widest piece, padding and virtual tokens included."""
        longest = max(sum(count for _, count in row) for row in self.rows)
        return self.piece * (longest + self.method.virtual_tokens)

    def changed(self, **changes: Any) -> "Work":
        """The same work but for ``changes``."""
        return self.model_copy(update=changes)


def lengths_of(example: TokenExample) -> Lengths:
    """The parts of a row, without their tokens."""
    return tuple((segment.role, len(segment)) for segment in example.segments)


def made_rows(rows: Sequence[Lengths], vocabulary: int) -> list[TokenExample]:
    """Rows of these lengths with tokens that mean nothing."""
    return [
        TokenExample(f"made:{number}", tuple(_segments(row, number, vocabulary)))
        for number, row in enumerate(rows)
    ]


def _segments(row: Lengths, number: int, vocabulary: int) -> list[TokenSegment]:
    return [
        TokenSegment(role, tuple((number * 31 + i * 7 + 11) % vocabulary for i in range(count)))
        for role, count in row
    ]


@dataclass(frozen=True, slots=True)
class Parts:
    """Bytes by part at the highest point of one phase."""

    phase: str
    bytes: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(self.bytes.values())
