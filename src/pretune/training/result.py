"""What a training came to."""

from dataclasses import dataclass

from pretune.adapters.adapter import Adapter
from pretune.training.history import Measurement, StopReason


@dataclass(frozen=True)
class TrainResult:
    """``adapter`` has the best parameters, those of ``best``; without a measurement, the last ones.
    ``seconds`` and ``tokens_per_second`` count the steps of all parts of a resumed training,
    ``measuring`` the seconds of its measurements; ``peak_memory`` is in bytes and of this part.
    """

    adapter: Adapter
    reason: StopReason
    steps: int
    epochs: float
    seconds: float
    measuring: float
    tokens_per_second: float
    peak_memory: int
    curve: tuple[float, ...]
    measurements: tuple[Measurement, ...]
    best: Measurement | None

    @property
    def hours(self) -> float:
        """What a goal on ``train_hours`` is about: steps and measurements."""
        return (self.seconds + self.measuring) / 3600
