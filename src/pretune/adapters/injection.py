"""Injection: mounted adapters act on a base through hooks, steered by a routing per token.

With no routing in force every hook returns at once: decode is the untouched base.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pretune.adapters.adapter import Adapter
from pretune.adapters.method import LowRank, Method
from pretune.adapters.rows import Rows, rows_of
from pretune.adapters.runs import runs_of
from pretune.adapters.stacked import Stack, StackedRows, Updates, restacked
from pretune.bases import Base
from pretune.bases.anatomy import Site
from pretune.bases.processor import multiplied_in
from pretune.core.errors import AdapterError
from pretune.core.names import unknown
from pretune.core.scope import Layout, Scope, lay_out
from pretune.core.segments import TokenSegment

NO_SLOT = -1
"""Routing of a token that the base alone writes."""


@dataclass(frozen=True, eq=False)
class Routing:
    """Per token of a batch, both ``(B, T)`` on the CPU: the ``slots`` of the adapter to apply (-1:
    the base) and the index of the ``virtual`` token (-1: a real token)."""

    slots: Tensor
    virtual: Tensor


_FEW = 16
"""Rows up to which an adapter is computed together with others."""

_SKEW = 4
"""How many times the usual number of rows an adapter in such company may have."""


@dataclass(frozen=True, eq=False)
class Mounted:
    """An adapter in a slot: its method, scope, and weights by site on the base's device."""

    slot: int
    method: Method[Any]
    scope: Scope
    weights: Mapping[str, Mapping[str, Tensor]]

    def lay_out(self, segments: Sequence[TokenSegment]) -> Layout:
        """The token sequence of a request of this adapter."""
        return lay_out(segments, self.scope, self.method.config.virtual_tokens)

    @cached_property
    def updates(self) -> Updates | None:
        """Its low-rank updates by site, if it is such an adapter and nobody trains it."""
        found: dict[str, LowRank] = {}
        for site, weights in self.weights.items():
            update = self.method.low_rank(weights)
            if update is None or update.up.requires_grad:
                return None
            found[site] = update
        return Updates(found) if found else None


class Edit(Protocol):
    """What becomes of the outputs of some sites, known by name."""

    @property
    def sites(self) -> Set[str]:
        """Where it acts."""

    def edit(self, site: Site, x: Tensor, y: Tensor) -> Tensor:
        """The output ``y (N, width_out)`` with the right rows changed; ``x`` is the input."""


class _Alone(NamedTuple):
    """One adapter on its rows."""

    mounted: Mounted
    rows: Rows

    @property
    def sites(self) -> Set[str]:
        return self.mounted.weights.keys()

    def edit(self, site: Site, x: Tensor, y: Tensor) -> Tensor:
        weights = self.mounted.weights.get(site.name)
        return y if weights is None else self.mounted.method.edit(site, weights, x, y, self.rows)


class Injection:
    """All mounted adapters of one base. Not thread-safe: one forward pass at a time."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self._mounted: dict[str, Mounted] = {}
        self._hooks: dict[tuple[int, str], RemovableHandle] = {}
        self._routing: Routing | None = None
        self._edits: Sequence[Edit] = ()
        self._stacks: list[Stack] = []
        self._linears = frozenset(site.name for site in base.anatomy.linears)
        embedding: Any = base.anatomy.embedding.module
        self._product = multiplied_in(embedding.weight)
        head = base.model.get_output_embeddings()
        self._head = [site.name for site in base.anatomy.leaves if site.module is head]
        # Asked at every step: the modules' own tables, not a walk through the modules.
        modules = list(base.model.modules())
        self._heard = [
            table for one in modules for table in (one._forward_hooks, one._forward_pre_hooks)
        ]

    def mount(self, name: str, adapter: Adapter) -> Mounted:
        """Put ``adapter`` into a free slot under ``name``.

        Raises:
            AdapterError: the name is taken, or the adapter does not fit the base.
        """
        weights = {
            site: {part: value.to(self.base.device) for part, value in parts.items()}
            for site, parts in adapter.by_site(self.base).items()
        }
        frozen = adapter.method.frozen(self.base.anatomy, weights)
        return self.mount_live(name, adapter.method, adapter.scope, frozen)

    def mount_live(
        self,
        name: str,
        method: Method[Any],
        scope: Scope,
        weights: Mapping[str, Mapping[str, Tensor]],
    ) -> Mounted:
        """Mount weights that training goes on changing. ``weights`` may be empty: an adapter that
        lives in the base's own parameters."""
        if name in self._mounted:
            raise AdapterError(f'an adapter is already mounted as "{name}"; unmount it first')
        taken = {mounted.slot for mounted in self._mounted.values()}
        slot = next(i for i in range(len(taken) + 1) if i not in taken)
        mounted = Mounted(slot, method, scope, weights)
        self._mounted[name] = mounted
        if weights:
            for site in method.sites(self.base.anatomy):
                self._hook(site)
        return mounted

    def unmount(self, name: str) -> None:
        """Free the slot of ``name``; the last adapter to go takes every hook with it."""
        if name not in self._mounted:
            raise unknown("adapter", name, self._mounted)
        slot = self._mounted.pop(name).slot
        self._stacks = [stack for stack in self._stacks if slot not in stack.members]
        if not self._mounted:
            for handle in self._hooks.values():
                handle.remove()
            self._hooks.clear()

    def __getitem__(self, name: str) -> Mounted:
        if name not in self._mounted:
            raise unknown("adapter", name, self._mounted)
        return self._mounted[name]

    @contextmanager
    def routed(self, routing: Routing) -> Iterator[None]:
        """Apply adapters by ``routing`` to forward passes on its ``B x T`` tokens in this block.

        With gradient checkpointing the backward pass belongs in the block too, as it runs the
        forward pass again.
        """
        with self._steered(routing, self._edits_of(routing)):
            yield

    @contextmanager
    def _steered(self, routing: Routing, edits: Sequence[Edit]) -> Iterator[None]:
        before = self._routing, self._edits
        self._routing, self._edits = routing, edits
        try:
            yield
        finally:
            self._routing, self._edits = before

    @property
    def acts(self) -> bool:
        """Whether the routing in force names any adapter that acts."""
        return bool(self._edits)

    def linear_edits(self) -> Sequence[Edit] | None:
        """What the routing in force does, if it acts at linear layers alone, else ``None``; nothing
        where it leaves every token to the base."""
        return self._edits if all(edit.sites <= self._linears for edit in self._edits) else None

    @property
    def alone(self) -> bool:
        """Whether nobody else has hooks on the base: who runs it in another way hears none."""
        return sum(map(len, self._heard)) == len(self._hooks)

    @property
    def stacked_bytes(self) -> int:
        """Bytes of copies of adapters that the last routing has computed together."""
        return sum(stack.bytes for stack in self._stacks)

    @contextmanager
    def narrowed(self, index: Tensor) -> Iterator[None]:
        """Within :meth:`routed`, run the head on the rows ``index (n,)`` of the flattened batch; on
        the CPU, as the routing is. Few adapters act there, and only their rows are looked for."""
        if self._routing is None:
            yield
            return
        slots = self._routing.slots.flatten()[index]
        virtual = self._routing.virtual.flatten()[index]
        narrow = Routing(slots, virtual)
        acting = {
            mounted.slot
            for mounted in self._mounted.values()
            if any(name in mounted.weights for name in self._head)
        }
        present = [slot for slot in slots.unique().tolist() if slot in acting]
        with self._steered(narrow, self._alone(narrow, present)):
            yield

    def _edits_of(self, routing: Routing) -> list[Edit]:
        slots = routing.slots.flatten()
        if bool((slots == NO_SLOT).all()):
            self._stacks = []
            return []
        present, counts = (found.tolist() for found in slots.unique(return_counts=True))
        low_rank = self._low_rank(present)
        few = _few(dict(zip(present, counts, strict=True)), low_rank)
        self._stacks = restacked(self._stacks, few)
        device = self.base.device
        many = {slot: one for slot, one in low_rank.items() if slot not in few}
        runs = runs_of(slots, many, device, self._product)
        alone = [slot for slot in present if slot not in few and slot not in runs.slots]
        return [
            *self._alone(routing, alone),
            *(StackedRows(stack, slots, few, device) for stack in self._stacks),
            *runs.edits,
        ]

    def _low_rank(self, slots: Sequence[int]) -> dict[int, Updates]:
        """The updates of those of ``slots`` that can be computed together: without gradients."""
        if torch.is_grad_enabled():
            return {}
        by_slot = self._by_slot()
        return {
            slot: updates
            for slot in slots
            if slot != NO_SLOT and (updates := by_slot[slot].updates) is not None
        }

    def _alone(self, routing: Routing, present: Sequence[int]) -> list[Edit]:
        slots, virtual = routing.slots.flatten(), routing.virtual.flatten()
        by_slot = self._by_slot()
        return [
            _Alone(by_slot[slot], rows_of(slots == slot, virtual, self.base.device))
            for slot in present
            if slot != NO_SLOT and by_slot[slot].weights
        ]

    def _by_slot(self) -> dict[int, Mounted]:
        return {mounted.slot: mounted for mounted in self._mounted.values()}

    def _hook(self, site: Site) -> None:
        key = (id(site.module), site.name)
        if key not in self._hooks:
            self._hooks[key] = site.module.register_forward_hook(self._editor(site))

    def _editor(self, site: Site) -> Callable[[nn.Module, tuple[Any, ...], Any], Any]:
        def edit(_module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            if not self._edits:
                return None
            # A method may run the site's own module: without adapters, these hooks included.
            edits, self._edits = self._edits, ()
            try:
                return change(edits, args, output)
            finally:
                self._edits = edits

        def change(edits: Sequence[Edit], args: tuple[Any, ...], output: Any) -> Any:
            out: Tensor = output[0] if isinstance(output, tuple) else output
            given: Tensor = args[0]
            if site.heads_first:
                out, given = out.transpose(1, 2), given.transpose(1, 2)
            axes = min(2, out.dim() - 1)  # of the tokens: B and T, or one of both
            if axes == 2 and self._routing is not None:
                # A table of positions is read once for all rows, which adapters then part.
                batch = len(self._routing.slots)
                out = out.expand(batch, *out.shape[1:])
                given = given.expand(batch, *given.shape[1:])
            y, x = out.flatten(0, axes - 1), given.flatten(0, axes - 1)
            for one in edits:
                y = one.edit(site, x, y)
            y = y.reshape(out.shape)
            if site.heads_first:
                y = y.transpose(1, 2)
            return (y, *output[1:]) if isinstance(output, tuple) else y

        return edit


def _few(rows: Mapping[int, int], low_rank: Mapping[int, Updates]) -> dict[int, Updates]:
    """Slots with a few rows, by their numbers of ``rows``: not those with many more than most, for
    whom all others' places would be padded."""
    found = {slot: one for slot, one in low_rank.items() if rows[slot] <= _FEW}
    usual = median(rows[slot] for slot in found) if found else 0
    found = {slot: one for slot, one in found.items() if rows[slot] <= _SKEW * usual}
    return found if len(found) > 1 else {}
