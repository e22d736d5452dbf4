"""Who may end a training from outside: pause it, or give it up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pretune.training.history import Measurement


def _never(_measurements: Sequence[Measurement] = ()) -> bool:
    return False


@dataclass(frozen=True)
class Oversight:
    """``pause`` is asked before every step: true leaves a checkpoint to go on from. ``give_up`` is
    asked after every measurement with all of them: true ends the training for good. Both must come
    to the same answer in every process of a training."""

    pause: Callable[[], bool] = _never
    give_up: Callable[[Sequence[Measurement]], bool] = _never


ALONE = Oversight()
"""Nobody does."""
