"""A ledger of bytes and operations: what a stretch of work holds, without doing it.

The work runs on tensors without numbers (device ``meta``) by the code that really trains, so that
no method, scope or family needs a formula of its own. Of every operation the ledger sees the
outputs: their storages count from when they are made until the last tensor lets go of them.
"""

import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

_FUSED = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_FUSED_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward

_PRODUCTS = frozenset(
    ("linear", "matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "addmm", "addbmm", "baddbmm")
) | {"scaled_dot_product_attention"}
"""What autocast computes in bf16 on a processor, of what such models use."""

_BLOCK = 64
"""Bytes that an allocation is rounded up to."""


@dataclass
class Ledger:
    """``live`` and ``peak`` are bytes by part; ``flops`` and ``moved`` are operations and bytes
    written by all operations so far, ``calls`` how many there were."""

    part: str = "activations"
    live: Counter[str] = field(default_factory=Counter)
    peak: Mapping[str, int] = field(default_factory=dict)
    flops: int = 0
    moved: int = 0
    calls: int = 0
    _held: dict[int, Any] = field(default_factory=dict)

    @contextmanager
    def counting(self, *, autocast: bool = False) -> Iterator["Ledger"]:
        """Count in this block; with ``autocast``, products of float32 are taken in bf16."""
        with _AsComputed(autocast), _Watch(self):
            yield self

    @contextmanager
    def under(self, part: str) -> Iterator[None]:
        """What is made in this block belongs to ``part``."""
        before, self.part = self.part, part
        try:
            yield
        finally:
            self.part = before

    def made(self, value: Tensor) -> None:
        """A tensor that an operation returned; known storages count once."""
        storage = value.untyped_storage()
        key = storage._cdata
        known = self._held.get(key)
        if known is not None and known() is storage:
            return
        size = -(-storage.nbytes() // _BLOCK) * _BLOCK
        self.live[self.part] += size
        self.moved += size
        self._held[key] = weakref.ref(storage, self._gone(key, self.part, size))
        if sum(self.live.values()) > sum(self.peak.values()):
            self.peak = dict(self.live)

    def known(self, value: Tensor) -> None:
        """A tensor that was there before: it is not counted."""
        storage = value.untyped_storage()
        self._held[storage._cdata] = weakref.ref(storage)

    def _gone(self, key: int, part: str, size: int) -> Callable[[Any], None]:
        def forget(reference: Any) -> None:
            self.live[part] -= size
            if self._held.get(key) is reference:
                del self._held[key]

        return forget


class _Watch(TorchDispatchMode):
    """Tells the ledger of every operation."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ledger = ledger

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and args[0].device.type == "meta":
            return True  # "are these positions one after another?"; in training they are
        out = func(*args, **(kwargs or {}))
        ledger = self._ledger
        ledger.flops += _flops(func._overloadpacket, args, kwargs or {}, out)
        made = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        if any(leaf.device.type == "meta" for leaf in made):
            ledger.calls += 1
            for leaf in made:
                ledger.made(leaf)
        return out


def _flops(packet: Any, args: tuple[Any, ...], given: Mapping[str, Any], out: Any) -> int:
    if packet is _FUSED:
        return int(sdpa_flop_count(*(one.shape for one in args[:3])))
    if packet is _FUSED_BACKWARD:
        return int(sdpa_backward_flop_count(*(one.shape for one in args[:4])))
    count = flop_registry.get(packet)
    return 0 if count is None else int(count(*args, **given, out_val=out))


class _AsComputed(TorchFunctionMode):
    """Tensors without numbers, computed as a processor would.

    Attention goes block by block, so that no table of all pairs of positions is kept; left alone,
    such tensors take the plain form. Products are cast to bf16 if asked: ``torch.autocast`` knows
    no device ``meta``. A trained weight is cast once, as there.
    """

    def __init__(self, autocast: bool) -> None:
        super().__init__()
        self._autocast = autocast
        self._cast: dict[int, Tensor] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = dict(kwargs or {})
        if not any(isinstance(one, Tensor) and one.is_meta for one in args):
            return func(*args, **given)
        if self._autocast and getattr(func, "__name__", "") in _PRODUCTS:
            args = tuple(self._lower(one) for one in args)
        if func is scaled_dot_product_attention:
            return _attention(*args, **given)
        return func(*args, **given)

    def _lower(self, one: Any) -> Any:
        if not isinstance(one, Tensor) or one.dtype is not torch.float32 or not one.is_meta:
            return one
        if not (one.is_leaf and one.requires_grad):
            return one.to(torch.bfloat16)
        if id(one) not in self._cast:
            self._cast[id(one)] = one.to(torch.bfloat16)
        return self._cast[id(one)]


def _attention(query: Tensor, key: Tensor, value: Tensor, *rest: Any, **given: Any) -> Any:
    mask = rest[0] if rest else given.get("attn_mask")
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (one.repeat_interleave(groups, 1) for one in (key, value))
    causal = bool(given.get("is_causal", False))
    return _FUSED(query, key, value, 0.0, causal, attn_mask=mask, scale=given.get("scale"))[0]
