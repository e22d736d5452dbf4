"""What a training came to."""

from dataclasses import dataclass

from pretune.adapters.adapter import Adapter
from pretune.training.history import Measurement, StopReason


@dataclass(frozen=True)
class TrainResult:
    """``adapter`` has the best parameters, those of ``best``; without a measurement, the last ones.
    ``seconds`` and ``tokens_per_second`` count the steps of all parts of a resumed training;
    ``peak_memory`` is in bytes and of this part.
    """

    adapter: Adapter
    reason: StopReason
    steps: int
    epochs: float
    seconds: float
    tokens_per_second: float
    peak_memory: int
    curve: tuple[float, ...]
    measurements: tuple[Measurement, ...]
    best: Measurement | None
