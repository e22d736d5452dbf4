"""What an objective is: how rows become a piece of work, and what that piece loses."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from pretune.adapters.injection import Injection
from pretune.adapters.tunable import Tunable
from pretune.core.records import TokenExample
from pretune.data.batches import Batch


@dataclass(frozen=True, eq=False)
class Piece:
    """The rows of one forward and one backward pass.

    ``weight`` is what the sums of :class:`Loss` are to be divided by (target tokens, or pairs).
    ``extra`` holds what an objective needs beside tokens, such as rewards or reference scores.
    """

    batch: Batch
    weight: float
    extra: Mapping[str, Tensor] = field(default_factory=dict)


class Loss(NamedTuple):
    """Sums over a piece, scalars: ``total`` to descend, and other ``values`` worth a curve.

    Sums, not means: pieces of one optimiser step hold different numbers of targets, and a mean of
    their means would weigh tokens unequally. The loop divides by the weight of the whole step.
    """

    total: Tensor
    values: Mapping[str, Tensor]


@dataclass(frozen=True)
class Objective:
    """Two pure functions and a name.

    ``collate(tunable, rows)`` may run the model without gradients (to sample, or to score with the
    base). ``loss(injection, piece)`` runs under the routing of the piece's batch.
    """

    name: str
    collate: Callable[[Tunable, Sequence[TokenExample]], Piece]
    loss: Callable[[Injection, Piece], Loss]
