"""The plan of a training: which rows each step sees and when it is measured. Only arithmetic.

Everything follows from the step number, so a resumed training needs no other position.
"""

from collections.abc import Sequence
from typing import TypeVar

from pretune.core.records import TokenExample
from pretune.data.batches import LengthBuckets
from pretune.spec.methods import MethodConfig
from pretune.spec.training import TrainSpec
from pretune.training.privacy import Secret

T = TypeVar("T")


class Plan:
    """Steps count from 1 as they are finished; step 0 is the start.

    With a ``secret``, every row is drawn for every step by itself, as often as it would come up
    otherwise: an epoch is that many steps.
    """

    def __init__(
        self,
        examples: Sequence[TokenExample],
        spec: TrainSpec,
        batch_size: int,
        secret: Secret | None = None,
    ) -> None:
        self._spec = spec
        self._secret = secret
        self._count, self._rate = len(examples), batch_size / len(examples)
        self._buckets = LengthBuckets([len(e) for e in examples], batch_size, spec.seed)
        self._order: tuple[int, list[list[int]]] = (-1, [])
        self.steps_per_epoch = len(self._buckets)
        self.steps = min(
            spec.epochs * self.steps_per_epoch,
            spec.max_steps or spec.epochs * self.steps_per_epoch,
        )

    def rows(self, step: int) -> list[int]:
        """Indices of the rows that are learned between ``step`` and the next one."""
        if self._secret is not None:
            return self._secret.drawn(step, self._count, self._rate)
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            self._order = epoch, self._buckets.batches(epoch)
        return self._order[1][position]

    def measures(self, step: int) -> bool:
        """Whether ``step`` is one at which the task's metrics are measured; the last one is."""
        if step == self.steps:
            return True
        times = self._spec.evaluations_per_epoch
        position = step % self.steps_per_epoch or self.steps_per_epoch
        marks = {round(i * self.steps_per_epoch / times) for i in range(1, times + 1)}
        return step > 0 and position in marks


def batch_size(config: MethodConfig, spec: TrainSpec) -> int:
    """Rows in a step: the task's number, or the method's vetted one."""
    return spec.batch_size or config.batch_size


def shares(rows: Sequence[T], processes: int, process: int, most: int) -> list[Sequence[T]]:
    """What one of several ``processes`` learns of a step's ``rows``, in pieces of ``most`` rows.

    Empty for a process when there are fewer rows than processes.
    """
    own = rows[process::processes]
    return [own[i : i + most] for i in range(0, len(own), most)]
