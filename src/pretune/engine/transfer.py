"""Weights of an adapter on their way to the device."""

import torch

from pretune.adapters.method import BySite

_BOUNDARY = 64
"""Elements: products want their operands to begin where memory is read in one piece."""


def moved(sites: BySite, device: torch.device, dtype: torch.dtype | None) -> BySite:
    """``sites`` on ``device``, in ``dtype`` or their own. Elsewhere than on a CPU they travel in
    one piece."""
    kinds = {value.dtype for parts in sites.values() for value in parts.values()}
    if device.type != "cpu" and len(kinds) == 1:
        return moved_whole(sites, device, dtype or kinds.pop())
    return {
        site: {part: value.to(device, dtype) for part, value in parts.items()}
        for site, parts in sites.items()
    }


def moved_whole(sites: BySite, device: torch.device, dtype: torch.dtype) -> BySite:
    """``sites``, all of one type, as views of one piece of the device's memory: an adapter has
    hundreds of small tensors, each of which would be a transfer."""
    values = [value for parts in sites.values() for value in parts.values()]
    sizes = [-(-value.numel() // _BOUNDARY) * _BOUNDARY for value in values]
    whole = torch.zeros(sum(sizes), dtype=values[0].dtype)
    for place, value in zip(whole.split(sizes), values, strict=True):
        place[: value.numel()] = value.flatten()
    places = iter(whole.to(device, dtype).split(sizes))
    return {
        site: {
            part: next(places)[: value.numel()].view(value.shape) for part, value in parts.items()
        }
        for site, parts in sites.items()
    }
