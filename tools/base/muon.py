"""Muon for the hidden matrices: momentum, then the nearest orthogonal matrix as the step.

After Keller Jordan's Muon (https://kellerjordan.github.io/posts/muon/): Nesterov momentum, five
Newton-Schulz iterations in bfloat16. Matrices of one shape are stacked and treated together, a tall
one as its transpose.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def orthogonalise(stack: Tensor) -> Tensor:
    """Nearest semi-orthogonal matrices of stack [count, rows, columns], rows <= columns."""
    a, b, c = COEFFICIENTS
    x = stack.bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


class Muon(torch.optim.Optimizer):
    """Decoupled weight decay; the step of a [rows, columns] matrix has spectral norm near
    `lr * max(1, rows / columns) ** 0.5`."""

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        """One step for every parameter that it was given."""
        for group in self.param_groups:
            stacks: dict[tuple[int, int], list[nn.Parameter]] = {}
            for param in group["params"]:
                stacks.setdefault((min(param.shape), max(param.shape)), []).append(param)
            for params in stacks.values():
                self.step_stack(params, group["lr"], group["momentum"], group["weight_decay"])

    def step_stack(
        self, params: list[nn.Parameter], lr: float, momentum: float, weight_decay: float
    ) -> None:
        """One step for matrices that share a shape, up to transposition."""
        wide = []
        for param in params:
            state = self.state[param]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(param)
            buffer = state["momentum_buffer"].lerp_(param.grad, 1 - momentum)
            step = param.grad.lerp(buffer, momentum)
            wide.append(step.mT if step.shape[0] > step.shape[1] else step)
        for param, step in zip(params, orthogonalise(torch.stack(wide)), strict=True):
            rows, columns = param.shape
            step = step.mT if rows > columns else step
            param.mul_(1 - lr * weight_decay)
            param.add_(step.to(param.dtype), alpha=-lr * max(1.0, rows / columns) ** 0.5)
