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
from pretune.training.privacy import Private, RowSum


class Stepped(NamedTuple):
    """What one step did: mean ``loss`` and ``values`` over its targets, the gradient's norm before
    clipping, and the ``tokens`` it read, padding not counted. A private step that drew no row has
    no loss: 0."""

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
    pieces changes what is learned. A ``private`` training takes rows one by one, in one process.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        tunable: Tunable,
        objective: Objective,
        spec: TrainSpec,
        private: Private | None = None,
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
        self._private = private
        self._row_sum = private and RowSum(tunable.parameters.values(), private.promise)

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
        if self._row_sum is not None:
            sums = self._learn_rows(pieces, number)
        elif not weight:
            raise TrainingError(f"step {number}: nothing to learn in {_named(rows)}")
        else:
            sums = [self._backward(p, weight, last=p is pieces[-1]) for p in pieces]
        norm = self._accelerator.clip_grad_norm_(self._module.parameters(), self._spec.clip_norm)
        set_rate(self._plain, factor)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        if not weight:  # no row was drawn, and a private step is noise alone
            return Stepped(0.0, float(norm), 0, {})
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
        if not rows:
            return []
        size = self._spec.most_at_once or len(rows)
        accelerator = self._accelerator
        own = shares(rows, accelerator.num_processes, accelerator.process_index, size)
        if own:
            return [self._objective.collate(self._tunable, some) for some in own]
        return [replace(self._objective.collate(self._tunable, rows[:1]), weight=0.0)]

    def _learn_rows(self, pieces: Sequence[Piece], number: int) -> list[Loss]:
        """Leave the noised sum of the rows' own gradients, each of the mean over its targets: what
        one row adds depends on no other. ``cut`` is the share of targets in rows that were cut."""
        assert self._private is not None
        assert self._row_sum is not None
        promise, sums, norms = self._private.promise, [], []
        for piece in pieces:
            if not piece.weight:
                continue
            done = self._backward(piece, piece.weight, last=True)
            norms.append(norm := self._row_sum.add())
            cut = (norm > promise.row_norm) * piece.weight
            sums.append(Loss(done.total, {**done.values, "cut": cut}))
        if number == 1 and norms and not any(norms):
            raise self._no_gradient()
        noise = self._private.secret.generator("noise", number)
        self._row_sum.release(self._private.batch_size, noise)
        return sums

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
