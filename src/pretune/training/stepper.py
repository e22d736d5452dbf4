"""One optimiser step: forward and backward passes of its pieces, clipping, AdamW."""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from pretune.adapters.tunable import Tunable
from pretune.core.errors import TrainingError
from pretune.core.records import TokenExample
from pretune.engine.forward import routing_of
from pretune.spec.training import TrainSpec
from pretune.training.objective import Loss, Objective, Piece
from pretune.training.optimizer import (
    adamw,
    load_optimizer_state,
    optimizer_state,
    set_rate,
)
from pretune.training.plan import shares
from pretune.training.precision import autocasts


class Stepped(NamedTuple):
    """What one step did: mean ``loss`` and ``values`` over its targets, the gradient's norm before
    clipping, and the ``tokens`` it read, padding not counted."""

    loss: float
    grad_norm: float
    tokens: int
    values: Mapping[str, float]


class _Trained(nn.Module):
    """The objective as a module of the trained parameters alone, for Accelerate to wrap.

    Autocast is entered here and not by Accelerate, whose precision is one for the whole process.
    """

    def __init__(self, tunable: Tunable, objective: Objective, autocast: bool) -> None:
        super().__init__()
        self.trained = nn.ParameterList(tunable.parameters.values())
        self._injection = tunable.injection
        self._objective = objective
        self._autocast = autocast

    def forward(self, piece: Piece) -> Loss:
        """The objective's sums; the routing is in force already."""
        kind = self._injection.base.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=self._autocast):
            return self._objective.loss(self._injection, piece)


class Stepper:
    """Changes the parameters of ``tunable``, step by step.

    Processes of one training each take their share of every step's rows; the sums are divided by
    the weight of the whole step, so that neither the number of processes nor the size of the
    pieces changes what is learned.
    """

    def __init__(
        self, accelerator: Accelerator, tunable: Tunable, objective: Objective, spec: TrainSpec
    ) -> None:
        self._accelerator = accelerator
        self._tunable = tunable
        self._objective = objective
        self._spec = spec
        self._plain = adamw(tunable, spec)
        self._module, self._optimizer = accelerator.prepare(
            _Trained(tunable, objective, autocasts(spec, tunable.injection.base.device)),
            self._plain,
            device_placement=[False, False],
        )

    def step(self, rows: Sequence[TokenExample], factor: float, number: int) -> Stepped:
        """Learn ``rows`` as step ``number``, at ``factor`` of the peak rate.

        Raises:
            TrainingError: nothing to learn, no gradient, or a loss or gradient that is not finite.
        """
        pieces = self._pieces(rows)
        weights = [piece.weight for piece in pieces]
        lengths = [int(piece.batch.attention_mask.sum()) for piece in pieces if piece.weight]
        counts = torch.tensor([sum(weights), sum(lengths)], dtype=torch.float64)
        weight, tokens = self._over_processes(counts)
        if not weight:
            raise TrainingError(f"step {number}: nothing to learn in {_named(rows)}")
        sums = [self._backward(p, weight, last=p is pieces[-1]) for p in pieces]
        norm = self._accelerator.clip_grad_norm_(self._module.parameters(), self._spec.clip_norm)
        set_rate(self._plain, factor)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        # The only wait for the device. What went wrong is found before it can be saved.
        names = sorted(sums[0].values)
        table = torch.stack([_column(one, names) for one in sums]).sum(0)
        loss, *values = [total / weight for total in self._over_processes(table)]
        self._check(loss, grad_norm := float(norm), rows, number)
        return Stepped(loss, grad_norm, int(tokens), dict(zip(names, values, strict=True)))

    def state(self) -> dict[str, Tensor]:
        """The optimiser's state, for a checkpoint."""
        return optimizer_state(self._plain, self._tunable.parameters)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take up a :meth:`state`."""
        load_optimizer_state(self._plain, self._tunable.parameters, state)

    def _pieces(self, rows: Sequence[TokenExample]) -> list[Piece]:
        """This process's share of ``rows``; one without weight where there is none left for it, as
        every process must take part in the exchange of gradients."""
        size = self._spec.micro_batch_size or len(rows)
        accelerator = self._accelerator
        own = shares(rows, accelerator.num_processes, accelerator.process_index, size)
        if own:
            return [self._objective.collate(self._tunable, some) for some in own]
        return [replace(self._objective.collate(self._tunable, rows[:1]), weight=0.0)]

    def _backward(self, piece: Piece, weight: float, *, last: bool) -> Loss:
        injection, mounted = self._tunable.injection, self._tunable.mounted
        exchange = nullcontext() if last else self._accelerator.no_sync(self._module)
        # The backward pass is under the routing too: it may run the forward pass again.
        with exchange, injection.routed(routing_of(piece.batch, mounted)):
            loss: Loss = self._module(piece)
            if not loss.total.requires_grad:
                raise self._no_gradient()
            counted = 1.0 if piece.weight else 0.0
            # Gradients are averaged over processes, so each is scaled up by their number.
            scale = counted * self._accelerator.num_processes / weight
            self._accelerator.backward(loss.total * scale)
        return Loss(loss.total.detach() * counted, {k: v * counted for k, v in loss.values.items()})

    def _over_processes(self, values: Tensor) -> list[float]:
        if self._accelerator.num_processes > 1:
            values = self._accelerator.reduce(values.to(self._accelerator.device), "sum")
        totals: list[float] = values.tolist()
        return totals

    def _check(
        self, loss: float, grad_norm: float, rows: Sequence[TokenExample], number: int
    ) -> None:
        for name, value in (("loss", loss), ("gradient norm", grad_norm)):
            if not math.isfinite(value):
                raise TrainingError(
                    f'step {number}: the {name} is "{value}" on {_named(rows)}; lower the learning '
                    "rate or look at these rows; the last checkpoint is kept"
                )
        if number == 1 and grad_norm == 0.0:
            raise self._no_gradient()

    def _no_gradient(self) -> TrainingError:
        return TrainingError(
            f'no gradient reaches any parameter of method "{self._tunable.config.name}" with scope '
            f'"{self._tunable.scope}": the loss does not depend on what it touches; check the '
            "method's sites, the scope and the template"
        )


def _column(loss: Loss, names: Sequence[str]) -> Tensor:
    return torch.stack([loss.total.double(), *(loss.values[name].double() for name in names)])


def _named(rows: Sequence[TokenExample]) -> str:
    return "rows " + ", ".join(row.row_id for row in rows)
