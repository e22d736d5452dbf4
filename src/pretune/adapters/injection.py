"""Injection: mounted adapters act on a base through hooks, steered by a routing per token.

With no routing in force every hook returns at once: decode is the untouched base.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pretune.adapters.adapter import Adapter
from pretune.adapters.method import Method
from pretune.adapters.rows import Rows, rows_of
from pretune.bases import Base
from pretune.bases.anatomy import Site
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


class Injection:
    """All mounted adapters of one base. Not thread-safe: one forward pass at a time."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self._mounted: dict[str, Mounted] = {}
        self._hooks: dict[tuple[int, str], RemovableHandle] = {}
        self._routing: Routing | None = None
        self._groups: list[tuple[Mounted, Rows]] = []

    def mount(self, name: str, adapter: Adapter) -> Mounted:
        """Put ``adapter`` into a free slot under ``name``.

        Raises:
            AdapterError: the name is taken, or the adapter does not fit the base.
        """
        weights = {
            site: {part: value.to(self.base.device) for part, value in parts.items()}
            for site, parts in adapter.by_site(self.base).items()
        }
        return self.mount_live(name, adapter.method, adapter.scope, weights)

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
        del self._mounted[name]
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
        before = self._routing, self._groups
        self._routing, self._groups = routing, self._group(routing)
        try:
            yield
        finally:
            self._routing, self._groups = before

    @contextmanager
    def narrowed(self, index: Tensor) -> Iterator[None]:
        """Within :meth:`routed`, go on with the rows ``index (n,)`` of the flattened batch."""
        if self._routing is None:
            yield
            return
        slots = self._routing.slots.flatten()[index.cpu()]
        virtual = self._routing.virtual.flatten()[index.cpu()]
        with self.routed(Routing(slots, virtual)):
            yield

    def _group(self, routing: Routing) -> list[tuple[Mounted, Rows]]:
        slots, virtual = routing.slots.flatten(), routing.virtual.flatten()
        by_slot = {mounted.slot: mounted for mounted in self._mounted.values()}
        return [
            (by_slot[slot], rows_of(slots == slot, virtual, self.base.device))
            for slot in slots.unique().tolist()
            if slot != NO_SLOT and by_slot[slot].weights
        ]

    def _hook(self, site: Site) -> None:
        key = (id(site.module), site.name)
        if key not in self._hooks:
            self._hooks[key] = site.module.register_forward_hook(self._editor(site))

    def _editor(self, site: Site) -> Callable[[nn.Module, tuple[Any, ...], Any], Any]:
        def edit(_module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            if not self._groups:
                return None
            # A method may run the site's own module: without adapters, these hooks included.
            groups, self._groups = self._groups, []
            try:
                return change(groups, args, output)
            finally:
                self._groups = groups

        def change(groups: list[tuple[Mounted, Rows]], args: tuple[Any, ...], output: Any) -> Any:
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
            for mounted, rows in groups:
                weights = mounted.weights.get(site.name)
                if weights is not None:
                    y = mounted.method.edit(site, weights, x, y, rows)
            y = y.reshape(out.shape)
            if site.heads_first:
                y = y.transpose(1, 2)
            return (y, *output[1:]) if isinstance(output, tuple) else y

        return edit
