"""Many low-rank adapters on a few rows each: one batched product for all of them.

That is decode with scope ``all``, where each adapter has a row or two and the number of products is
what a step costs. In prefill an adapter has a run of rows (``adapters/runs.py``).
"""

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pretune.adapters.method import LowRank
from pretune.bases.anatomy import Site
from pretune.bases.processor import multiplied_in


@dataclass(frozen=True, eq=False)
class Updates:
    """An adapter's low-rank updates by site."""

    by_site: Mapping[str, LowRank]

    @property
    def sites(self) -> Set[str]:
        """Where it acts."""
        return self.by_site.keys()

    @cached_property
    def shapes(self) -> tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]:
        """What two adapters must have in common to be computed together."""
        return tuple(
            (site, tuple(one.down.shape), tuple(one.up.shape)) for site, one in self.by_site.items()
        )


def stacked(updates: Sequence[LowRank], dtype: torch.dtype) -> tuple[Tensor, Tensor, float]:
    """``down (n, rank, width_in)``, ``up (n, width_out, rank)`` and the scale of their product;
    where scales differ, ``down`` has them and 1 is left."""
    # One behind the other, not stacked: that would make a view of each first.
    down, up = (
        torch.cat(parts).unflatten(0, (len(updates), -1))
        for parts in ([one.down for one in updates], [one.up for one in updates])
    )
    if len(scales := {one.scale for one in updates}) == 1:
        return down.to(dtype), up.to(dtype), scales.pop()
    each = torch.tensor([one.scale for one in updates], dtype=down.dtype)
    down = down * each.to(down.device)[:, None, None]
    return down.to(dtype), up.to(dtype), 1.0


_MOST_STACKS = 4
"""Stacks of like adapters beyond which they are put together anew: each costs its own products."""


class Stack:
    """Updates of the slots ``members``, of one shape, side by side; a copy, made when a site is
    first asked for."""

    def __init__(self, members: Mapping[int, Updates]) -> None:
        self.members = dict(members)
        self._sites: dict[str, tuple[Tensor, Tensor]] = {}

    @property
    def sites(self) -> Set[str]:
        """Where its members act, all at the same sites."""
        return next(iter(self.members.values())).sites

    def at(self, site: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Of one site, as a few rows are multiplied fastest: ``down (n, rank, width_in)`` and ``up
        (n, rank, width_out)``."""
        if site not in self._sites:
            updates = [one.by_site[site] for one in self.members.values()]
            down, up, scale = stacked(updates, dtype)
            self._sites[site] = down * scale, up.transpose(1, 2).contiguous()
        return self._sites[site]

    @property
    def bytes(self) -> int:
        """Bytes of the copies; asked by other threads too, while a step makes more of them."""
        return sum(value.nbytes for pair in list(self._sites.values()) for value in pair)


class StackedRows:
    """Which rows of a step belong to which member of a stack; every member has the same number of
    places, ``(n, most)``, of which some may stay empty."""

    def __init__(
        self, stack: Stack, slots: Tensor, wanted: Collection[int], device: torch.device
    ) -> None:
        """``slots (N,)`` of the step's rows, on the CPU; members not ``wanted`` get none."""
        self._stack = stack
        nothing = torch.zeros(0, dtype=torch.long)
        rows = [
            (slots == slot).nonzero().flatten() if slot in wanted else nothing
            for slot in stack.members
        ]
        self._most = max(map(len, rows))
        places = torch.zeros(len(rows), self._most, dtype=torch.long)
        filled = torch.zeros_like(places, dtype=torch.bool)
        for i, own in enumerate(rows):
            places[i, : len(own)] = own
            filled[i, : len(own)] = True
        self._places = places.flatten().to(device)
        self._filled = None if bool(filled.all()) else filled.flatten().nonzero()[:, 0].to(device)
        self._rows = torch.cat(rows).to(device)

    @property
    def sites(self) -> Set[str]:
        """Where it acts."""
        return self._stack.sites

    def edit(self, site: Site, x: Tensor, y: Tensor) -> Tensor:
        """The site's output ``y (N, width_out)`` changed in place, by its input ``x``."""
        if site.name not in self.sites:
            return y
        dtype = multiplied_in(y)
        down, up = self._stack.at(site.name, dtype)
        given = x.index_select(0, self._places).unflatten(0, (-1, self._most)).to(dtype)
        delta = torch.bmm(torch.bmm(given, down.transpose(1, 2)), up).flatten(0, 1)
        if self._filled is not None:
            delta = delta.index_select(0, self._filled)
        return y.index_add_(0, self._rows, delta.to(y.dtype))


def restacked(stacks: Sequence[Stack], wanted: Mapping[int, Updates]) -> list[Stack]:
    """Stacks that hold every slot of ``wanted``. Those of ``stacks`` are kept while half of their
    members are wanted: of requests that come and go, a step should not copy all adapters for one.
    """
    kept = [one for one in stacks if 2 * len(one.members.keys() & wanted) >= len(one.members)]
    known = {slot for stack in kept for slot in stack.members}
    new = _alike({slot: one for slot, one in wanted.items() if slot not in known})
    if new and len(kept) + len(new) > max(_MOST_STACKS, len(_alike(wanted))):
        return _alike(wanted)
    return kept + new


def _alike(wanted: Mapping[int, Updates]) -> list[Stack]:
    """One stack for each set of shapes."""
    by_shapes: dict[tuple[object, ...], dict[int, Updates]] = {}
    for slot, updates in sorted(wanted.items()):
        by_shapes.setdefault(updates.shapes, {})[slot] = updates
    return [Stack(members) for members in by_shapes.values()]
