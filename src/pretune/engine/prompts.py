"""Prompts side by side: padded on the left, so that what follows them begins at one column."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pretune.adapters.injection import NO_SLOT, Injection, Mounted, Routing
from pretune.core.records import Request
from pretune.core.scope import PLACEHOLDER_ID, Layout, Scope, lay_out


@dataclass(frozen=True, eq=False)
class Prompts:
    """Prompts padded on the left: ``ids``, ``real`` and ``positions``, all ``(B, T)``, with their
    routing; ``decode_slots (B,)`` is what generated tokens are routed to."""

    ids: Tensor
    real: Tensor
    positions: Tensor
    routing: Routing
    decode_slots: Tensor


def layout_of(injection: Injection, request: Request) -> Layout:
    """The prompt of ``request`` as its adapter, or the base, sees it."""
    mounted = _mounted(injection, request)
    if mounted is None:
        return lay_out(request.segments, Scope.PROMPT)
    return mounted.lay_out(request.segments)


def pad(injection: Injection, requests: Sequence[Request]) -> Prompts:
    """The prompts of ``requests``, on the base's device."""
    layouts = [layout_of(injection, request) for request in requests]
    mounted = [_mounted(injection, request) for request in requests]
    shape = len(requests), max(map(len, layouts))
    ids = torch.full(shape, PLACEHOLDER_ID)
    real = torch.zeros(shape, dtype=torch.bool)
    slots = torch.full(shape, NO_SLOT)
    virtual = torch.full(shape, -1)
    for row, (layout, adapter) in enumerate(zip(layouts, mounted, strict=True)):
        first = shape[1] - len(layout)
        ids[row, first:] = torch.tensor(layout.ids)
        real[row, first:] = True
        virtual[row, first:] = torch.tensor(layout.virtual)
        if adapter is not None:
            slots[row, first:][torch.tensor(layout.routed)] = adapter.slot
    decode = [a.slot if a and a.scope is Scope.ALL else NO_SLOT for a in mounted]
    device = injection.base.device
    positions = (real.cumsum(1) - 1).clamp(min=0)
    return Prompts(
        ids.to(device),
        real.to(device),
        positions.to(device),
        Routing(slots, virtual),
        torch.tensor(decode),
    )


def _mounted(injection: Injection, request: Request) -> Mounted | None:
    return None if request.adapter is None else injection[request.adapter]
