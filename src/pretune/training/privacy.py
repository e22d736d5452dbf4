"""Differentially private training: what is promised, and the noise that keeps the promise.

DP-SGD (Abadi et al. 2016, arXiv 1607.00133): every row is drawn for a step by itself, its gradient
is cut to a norm, and Gaussian noise is added to the sum. The noise that a promise needs is Opacus'
reckoning: privacy loss distributions (Gopi, Lee and Wutschitz 2021, arXiv 2106.02848), their upper
bound. The promise is about one row more or less, and about every adapter that the training has
measured, not only the best one.
"""

import hashlib
import math
import secrets
import warnings
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pretune.core.errors import MissingExtra, SpecError, TrainingError
from pretune.core.promise import Promise
from pretune.spec.privacy import PrivacySpec

_TOLERANCE = 0.01
"""Share of epsilon that may be left unused: each halving of it is one more reckoning."""


def promise(spec: PrivacySpec, rows: int, batch_size: int, steps: int) -> Promise:
    """The least noise with which ``steps`` steps of ``batch_size`` of ``rows`` rows keep ``spec``.

    Raises:
        MissingExtra: Opacus is not installed.
        SpecError: ``delta`` is too large for so many rows, or ``epsilon`` cannot be had.
    """
    if spec.delta * rows >= 1:
        raise SpecError(
            f'train.privacy.delta "{spec.delta:g}" is not below one over the {rows} training rows: '
            f"it would allow to publish a row; write at most {0.1 / rows:.0e}"
        )
    rate = min(1.0, batch_size / rows)
    try:
        import opacus
        from opacus.accountants import PRVAccountant
        from opacus.accountants.utils import get_noise_multiplier
    except ImportError as error:
        raise MissingExtra("opacus", "dp", "training with differential privacy") from error
    accountant = PRVAccountant()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of attempts on the way; the result is a bound
        try:
            noise = get_noise_multiplier(
                target_epsilon=spec.epsilon,
                target_delta=spec.delta,
                sample_rate=rate,
                steps=steps,
                accountant=accountant.mechanism(),
                epsilon_tolerance=_TOLERANCE * spec.epsilon,
            )
        except (ValueError, RuntimeError) as error:
            raise SpecError(
                f'train.privacy.epsilon "{spec.epsilon:g}" cannot be kept over {steps} steps of '
                f"{batch_size} of {rows} rows ({error}); raise epsilon, or train fewer steps"
            ) from error
        accountant.history = [(noise, rate, steps)]
        epsilon = float(accountant.get_epsilon(spec.delta))
    by = f"Opacus {opacus.__version__}, privacy loss distributions"
    return Promise(epsilon, spec.delta, spec.row_norm, float(noise), rate, steps, by)


def moved(start: Mapping[str, Tensor], end: Mapping[str, Tensor]) -> float:
    """How far the weights went, as a share of the longer of where they were and where they are.

    Raises:
        TrainingError: nowhere.
    """
    ways = ({name: end[name].float() - start[name].float() for name in start}, start, end)
    way, before, after = (
        math.sqrt(sum(float(one.float().square().sum()) for one in some.values())) for some in ways
    )
    if way == 0.0:
        raise TrainingError(
            "no weight has moved: there is nothing to serve, and epsilon says nothing; raise the "
            "learning rate or max_steps"
        )
    return way / max(before, after)


class Secret:
    """Randomness that whoever sees the adapter must not know: a known noise could be taken off.

    It follows from 256 random bits and the step, so that a resumed training goes on to the last
    digit. The bits lie in the checkpoint while the training is not finished, and nowhere else.
    """

    def __init__(self) -> None:
        self._bits = secrets.token_bytes(32)

    def state(self) -> dict[str, Tensor]:
        """The bits, for a checkpoint."""
        return {"secret": torch.frombuffer(bytearray(self._bits), dtype=torch.uint8)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take up a :meth:`state`."""
        self._bits = bytes(state["secret"].tolist())

    def generator(self, what: str, step: int) -> np.random.Generator:
        """A generator for ``what`` is drawn in a step, by a key of 128 bits: torch's own takes 32
        bits of a seed on a processor, and so few can all be tried."""
        key = hashlib.sha256(self._bits + f"{what}/{step}".encode()).digest()[:16]
        return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "big")))

    def drawn(self, step: int, rows: int, rate: float) -> list[int]:
        """Which of ``rows`` rows a step learns, each with the probability ``rate`` by itself."""
        draws = self.generator("rows", step).random(rows)
        found: list[int] = np.flatnonzero(draws < rate).tolist()
        return found


class Private(NamedTuple):
    """What makes a training private; ``batch_size`` is how many rows a step has on average."""

    promise: Promise
    secret: Secret
    batch_size: int


class RowSum:
    """The sum of the gradients of a step's rows, each cut to ``row_norm``, in float32."""

    def __init__(self, parameters: Iterable[nn.Parameter], promise: Promise) -> None:
        self._parameters = list(parameters)
        self._promise = promise
        self._sums = [torch.zeros_like(one, dtype=torch.float32) for one in self._parameters]

    def add(self) -> Tensor:
        """Add the gradients that the parameters hold, those of one row, and clear them; their norm
        before they were cut."""
        grads = [one.grad for one in self._parameters]
        found = [grad for grad in grads if grad is not None]
        norm: Tensor = torch.stack([grad.float().norm() for grad in found]).norm()
        # A norm of zero gives an infinite factor, and one is taken.
        factor = (self._promise.row_norm / norm).clamp(max=1.0)
        for parameter, total, grad in zip(self._parameters, self._sums, grads, strict=True):
            if grad is not None:
                total.add_(grad.float() * factor)
            parameter.grad = None
        return norm

    def release(self, batch_size: int, generator: np.random.Generator) -> None:
        """Leave the noised sum over ``batch_size``, the number of rows to be expected, as the
        parameters' gradients."""
        spread = self._promise.noise * self._promise.row_norm
        for parameter, total in zip(self._parameters, self._sums, strict=True):
            drawn = generator.standard_normal(tuple(total.shape), dtype=np.float32)
            noise = torch.as_tensor(drawn, device=total.device) * spread
            parameter.grad = ((total + noise) / batch_size).to(parameter.dtype)
            total.zero_()
