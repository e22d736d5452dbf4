"""Low-rank adapters with a run of rows each, computed together.

That is prefill, where each adapter's rows stand in one run. Where products are taken in float32 on
a CPU, runs are changed one by one, which can be done to a part of a layer's rows while it is in the
processor's cache. Elsewhere runs of one length, one behind the other, are two batched products on
views; and where gathering rows costs little and starting a product much, which is so on CUDA, runs
of like lengths are padded to one.
"""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate as accumulated

import torch
from torch import Tensor

from pretune.adapters.rows import accumulate, product
from pretune.adapters.stacked import Stack, StackedRows, Updates, stacked
from pretune.bases.anatomy import Site

_GATHERS = frozenset({"cuda"})
"""Kinds of device on which rows are gathered."""

_PADDING = 2
"""How many times the rows of the shortest run the longest one padded with it may have."""


@dataclass(frozen=True)
class Run:
    """The rows ``start`` to ``stop`` are those of ``updates``."""

    start: int
    stop: int
    updates: Updates


@dataclass(frozen=True, eq=False)
class OwnRuns:
    """Runs one by one, of any length and any shape."""

    runs: Sequence[Run]

    @cached_property
    def sites(self) -> Set[str]:
        """Where any of them acts."""
        return frozenset().union(*(run.updates.sites for run in self.runs))

    def edit(self, site: Site, x: Tensor, y: Tensor) -> Tensor:
        """The site's output ``y (N, width_out)`` changed in place, by its input ``x``."""
        self.edit_part([(site, slice(None))], 0, x, y)
        return y

    def edit_part(
        self, sites: Sequence[tuple[Site, slice]], first: int, x: Tensor, y: Tensor
    ) -> None:
        """The same of the ``n`` rows from ``first`` on alone, and of several sites with one input
        ``x (n, width_in)``, each with its columns of ``y (n, ...)``."""
        for run in self.runs:
            start, stop = max(run.start - first, 0), min(run.stop - first, len(x))
            by_site = run.updates.by_site
            acting = [(by_site[site.name], its) for site, its in sites if site.name in by_site]
            if start >= stop or not acting:
                continue
            # Wide by narrow, not narrow by wide: that product is faster by a third.
            down = torch.cat([one.down for one, _ in acting])
            narrow = product(down, x[start:stop]).t()
            ranks = [len(one.down) for one, _ in acting]
            for (one, columns), h in zip(acting, narrow.split(ranks, 1), strict=True):
                accumulate(y[start:stop, columns], h, one.up, one.scale)


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
        down, up, scale = stacked(updates, y.dtype)
        h = torch.bmm(given, down.transpose(1, 2))
        own.baddbmm_(h, up.transpose(1, 2), alpha=scale)
        return y


@dataclass(eq=False)
class Runs:
    """What :func:`runs_of` found: ``edits``, and the ``slots`` that they see to."""

    edits: list[OwnRuns | EqualRuns | StackedRows] = field(default_factory=list)
    slots: set[int] = field(default_factory=set)


def runs_of(
    slots: Tensor, updates: Mapping[int, Updates], device: torch.device, dtype: torch.dtype
) -> Runs:
    """Those of ``updates``, by slot, that are better computed together, where ``slots (N,)`` (on
    the CPU) are the rows' and products are taken in ``dtype``."""
    found = Runs()
    runs = _runs(slots, updates)
    if device.type == "cpu" and dtype is torch.float32:
        if runs:
            found.edits.append(OwnRuns([run for _, run in runs]))
            found.slots.update(slot for slot, _ in runs)
        return found
    for group in _equal(runs):
        first = group[0][1]
        members = [run.updates for _, run in group]
        found.edits.append(EqualRuns(first.start, first.stop - first.start, members))
        found.slots.update(slot for slot, _ in group)
    if device.type in _GATHERS:
        left = {slot: one for slot, one in updates.items() if slot not in found.slots}
        for chosen in _like(slots, left):
            stack = Stack({slot: left[slot] for slot in chosen})
            found.edits.append(StackedRows(stack, slots, chosen, device))
            found.slots.update(chosen)
    return found


def _runs(slots: Tensor, updates: Mapping[int, Updates]) -> list[tuple[int, Run]]:
    """By slot, in the order of their rows: those of ``updates`` whose rows stand in one run."""
    values, counts = (one.tolist() for one in slots.unique_consecutive(return_counts=True))
    times = Counter(values)
    ends = accumulated(counts)
    return [
        (slot, Run(end - length, end, updates[slot]))
        for slot, length, end in zip(values, counts, ends, strict=True)
        if slot in updates and times[slot] == 1
    ]


def _equal(runs: Sequence[tuple[int, Run]]) -> list[list[tuple[int, Run]]]:
    """Neighbouring runs alike in length and in shapes."""
    groups: list[list[tuple[int, Run]]] = []
    for slot, run in runs:
        last = groups[-1][-1][1] if groups else run
        alike = last.stop - last.start == run.stop - run.start
        if last.stop == run.start and alike and last.updates.shapes == run.updates.shapes:
            groups[-1].append((slot, run))
        else:
            groups.append([(slot, run)])
    return [group for group in groups if len(group) > 1]


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
