"""Low-rank adapters with a run of rows each, computed together.

That is prefill, where each adapter's rows stand in one run. Runs of one length, one behind the
other, are two batched products on views. Where gathering rows costs little and starting a product
much, which is so on CUDA, runs of like lengths are padded to one.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pretune.adapters.rows import accumulate, product
from pretune.adapters.stacked import Stack, StackedRows, Updates, stacked
from pretune.bases.anatomy import Site
from pretune.bases.processor import emulates

_GATHERS = frozenset({"cuda"})
"""Kinds of device on which rows are gathered."""

_PADDING = 2
"""How many times the rows of the shortest run the longest one padded with it may have."""


@dataclass(frozen=True)
class EqualRuns:
    """``members`` one behind the other from row ``first`` on, ``length`` rows each."""

    first: int
    length: int
    members: Sequence[Updates]

    @property
    def sites(self) -> Set[str]:
        """Where its members act, all at the same sites."""
        return self.members[0].sites

    def edit(self, site: Site, x: Tensor, y: Tensor) -> Tensor:
        """The site's output ``y (N, width_out)`` changed in place, by its input ``x``. The members
        are stacked anew at every site: copies of all would be as large as they are."""
        if site.name not in self.sites:
            return y
        updates = [one.by_site[site.name] for one in self.members]
        rows = slice(self.first, self.first + len(self.members) * self.length)
        given, own = (one[rows].unflatten(0, (-1, self.length)) for one in (x, y))
        if emulates(y):
            # One by one: what stands between in float32 stays in the processor's cache.
            for one, its_x, its_y in zip(updates, given, own, strict=True):
                accumulate(its_y, product(its_x, one.down), one.up, one.scale)
            return y
        down, up, scale = stacked(updates, y.dtype)
        h = torch.bmm(given, down.transpose(1, 2))
        own.baddbmm_(h, up.transpose(1, 2), alpha=scale)
        return y


@dataclass(eq=False)
class Runs:
    """What :func:`runs_of` found: ``edits``, and the ``slots`` that they see to."""

    edits: list[EqualRuns | StackedRows] = field(default_factory=list)
    slots: set[int] = field(default_factory=set)


def runs_of(slots: Tensor, updates: Mapping[int, Updates], device: torch.device) -> Runs:
    """Those of ``updates``, by slot, that are better computed together, where ``slots (N,)`` (on
    the CPU) are the rows'."""
    found = Runs()
    for first, length, chosen in _equal(slots, updates):
        members = [updates[slot] for slot in chosen]
        found.edits.append(EqualRuns(first, length, members))
        found.slots.update(chosen)
    if device.type in _GATHERS:
        left = {slot: one for slot, one in updates.items() if slot not in found.slots}
        for chosen in _like(slots, left):
            stack = Stack({slot: left[slot] for slot in chosen})
            found.edits.append(StackedRows(stack, slots, chosen, device))
            found.slots.update(chosen)
    return found


def _equal(slots: Tensor, updates: Mapping[int, Updates]) -> list[tuple[int, int, list[int]]]:
    """First row, length and slots of neighbouring runs alike in length and in shapes."""
    values, counts = (one.tolist() for one in slots.unique_consecutive(return_counts=True))
    broken = {slot for slot in set(values) if values.count(slot) > 1}
    found: list[tuple[int, int, list[int]]] = []
    place = 0
    for slot, length in zip(values, counts, strict=True):
        if slot in updates and slot not in broken:
            end = found[-1][0] + found[-1][1] * len(found[-1][2]) if found else -1
            if (
                end == place
                and found[-1][1] == length
                and updates[found[-1][2][0]].shapes == updates[slot].shapes
            ):
                found[-1][2].append(slot)
            else:
                found.append((place, length, [slot]))
        place += length
    return [one for one in found if len(one[2]) > 1]


def _like(slots: Tensor, updates: Mapping[int, Updates]) -> list[list[int]]:
    """Slots of one shape whose numbers of rows are alike."""
    rows = {slot: int((slots == slot).sum()) for slot in updates}
    groups: list[list[int]] = []
    for slot in sorted(updates, key=lambda one: (updates[one].shapes, rows[one])):
        last = groups[-1][0] if groups else slot
        alike = updates[last].shapes == updates[slot].shapes
        if groups and alike and rows[slot] <= _PADDING * rows[last]:
            groups[-1].append(slot)
        else:
            groups.append([slot])
    return [group for group in groups if len(group) > 1]
