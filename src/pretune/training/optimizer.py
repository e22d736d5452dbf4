"""AdamW, and its state as named tensors."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pretune.adapters.tunable import Tunable
from pretune.spec.training import TrainSpec


def peak_rate(tunable: Tunable, spec: TrainSpec) -> float:
    """The task's learning rate, or the method's vetted one at the base's width."""
    width = tunable.injection.base.anatomy.hidden
    return spec.learning_rate or tunable.config.rate_at(width)


def adamw(tunable: Tunable, spec: TrainSpec) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101) in one fused kernel for all parameters."""
    groups = tunable.groups(peak_rate(tunable, spec), spec.weight_decay)
    for group in groups:
        group["peak"] = group["lr"]
    return torch.optim.AdamW(groups, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Put every group at ``factor`` of its own peak rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


def optimizer_state(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]
) -> dict[str, Tensor]:
    """Its state as ``name/part`` tensors on the CPU, to be saved before the next step changes them;
    empty before the first."""
    return {
        f"{name}/{part}": value.detach().cpu()
        for name, parameter in parameters.items()
        for part, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer_state(
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, nn.Parameter],
    state: Mapping[str, Tensor],
) -> None:
    """Take up an :func:`optimizer_state` to the last digit."""
    for key, value in state.items():
        name, _, part = key.rpartition("/")
        parameter = parameters[name]
        optimizer.state[parameter][part] = value.to(parameter.device)
