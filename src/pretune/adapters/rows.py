"""Rows: the tokens of a batch that one adapter touches, and how to change just those.

A batch of ``B x T`` tokens is seen as ``N = B * T`` rows. A method asks for its rows' values,
computes, and adds; whether that is done by a mask or by gathering is decided here, once.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pretune.bases.processor import emulates, multiplied_in

_MASK_FROM = 0.4
"""Share of rows from which a masked product over all rows is cheaper than gathering them."""


@dataclass(frozen=True, eq=False)
class Virtual:
    """Rows that are virtual tokens: flat positions ``(M,)`` and which virtual token each is."""

    positions: Tensor
    index: Tensor

    def write(self, y: Tensor, values: Tensor) -> Tensor:
        """``y (N, d)`` with row ``positions[i]`` replaced by ``values[index[i]]``."""
        return y.index_copy(0, self.positions, values.to(y.dtype)[self.index])


@dataclass(frozen=True, eq=False)
class Rows(ABC):
    """The rows of one adapter in one forward pass."""

    virtual: Virtual | None

    @abstractmethod
    def take(self, values: Tensor) -> Tensor:
        """The rows to compute on, ``(n, d)``, from ``values (N, d)``."""

    @abstractmethod
    def add(self, y: Tensor, delta: Tensor) -> Tensor:
        """``y (N, ...)`` plus ``delta (n, ...)`` at this adapter's rows; other rows unchanged."""

    @abstractmethod
    def add_product(self, y: Tensor, h: Tensor, weight: Tensor) -> Tensor:
        """``y (N, d)`` plus ``h (n, r) @ weight (d, r).T`` at this adapter's rows.

        Writing the output is what a low-rank update costs, so it is accumulated in the product.
        """


class WholeRows(Rows):
    """Every row."""

    def take(self, values: Tensor) -> Tensor:
        """All rows as they are."""
        return values

    def add(self, y: Tensor, delta: Tensor) -> Tensor:
        """A plain sum."""
        return y + delta

    def add_product(self, y: Tensor, h: Tensor, weight: Tensor) -> Tensor:
        """One accumulating product."""
        return _with_product(y, h, weight)


@dataclass(frozen=True, eq=False)
class MaskedRows(Rows):
    """Most rows: compute on all and mask; ``mask`` is ``(N, 1)`` of zeros and ones."""

    mask: Tensor

    def take(self, values: Tensor) -> Tensor:
        """All rows; the mask is applied when adding."""
        return values

    def add(self, y: Tensor, delta: Tensor) -> Tensor:
        """A masked sum. ``where``, not a product: a NaN in another's row must not pass."""
        mask = self.mask.view(-1, *[1] * (y.dim() - 1))
        return torch.where(mask, y + delta, y)

    def add_product(self, y: Tensor, h: Tensor, weight: Tensor) -> Tensor:
        """The mask meets the narrow ``h``, where it is nearly free."""
        return _with_product(y, h.masked_fill(~self.mask, 0.0), weight)


@dataclass(frozen=True, eq=False)
class IndexedRows(Rows):
    """Few rows: gather, compute, add back; ``index`` is ``(n,)``."""

    index: Tensor

    def take(self, values: Tensor) -> Tensor:
        """The gathered rows."""
        return values.index_select(0, self.index)

    def add(self, y: Tensor, delta: Tensor) -> Tensor:
        """Add at the gathered rows."""
        return y.index_add(0, self.index, delta.to(y.dtype))

    def add_product(self, y: Tensor, h: Tensor, weight: Tensor) -> Tensor:
        """Product of the gathered rows, added back."""
        return self.add(y, product(h, weight))


@dataclass(frozen=True, eq=False)
class SlicedRows(Rows):
    """One run of rows, ``start`` to ``stop``, without gradients: changed where they stand.

    The output of a site is nobody else's, so that neither a copy nor a scatter is needed: on a long
    prompt those would cost more than the products.
    """

    start: int
    stop: int

    def take(self, values: Tensor) -> Tensor:
        """A view."""
        return values[self.start : self.stop]

    def add(self, y: Tensor, delta: Tensor) -> Tensor:
        """In place."""
        y[self.start : self.stop] += delta
        return y

    def add_product(self, y: Tensor, h: Tensor, weight: Tensor) -> Tensor:
        """One accumulating product, in place."""
        accumulate(y[self.start : self.stop], h, weight)
        return y


def _with_product(y: Tensor, h: Tensor, weight: Tensor) -> Tensor:
    """``y + h @ weight.T``."""
    if emulates(y):
        return y + product(h, weight).to(y.dtype)
    return torch.addmm(y, h, weight.t())


def product(h: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``h (n, r) @ weight (d, r).T`` plus ``bias (d,)``, in float32 where the processor would
    emulate it, and then left so."""
    dtype = multiplied_in(weight)
    return F.linear(h.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype))


def accumulate(y: Tensor, h: Tensor, weight: Tensor, scale: float = 1.0) -> None:
    """``y (n, d)`` in place plus ``scale`` times :func:`product`, rounded once."""
    if emulates(y):
        wide = y.float()
        y.copy_(wide.addmm_(h.float(), weight.float().t(), alpha=scale))
    else:
        y.addmm_(h, weight.to(y.dtype).t(), alpha=scale)


def rows_of(mask: Tensor, virtual: Tensor, device: torch.device) -> Rows:
    """Rows for a flat ``mask (N,)`` of touched tokens and ``virtual (N,)`` indices (-1: none).

    Both are on the CPU, so that the choice costs no wait for a device; the result is on ``device``.
    """
    positions = (mask & (virtual >= 0)).nonzero().flatten()
    place = Virtual(positions.to(device), virtual[positions].to(device)) if len(positions) else None
    touched = int(mask.sum())
    if not torch.is_grad_enabled() and touched:
        start = int(mask.int().argmax())
        if bool(mask[start : start + touched].all()):
            return SlicedRows(place, start, start + touched)
    if touched == len(mask):
        return WholeRows(place)
    if touched >= _MASK_FROM * len(mask):
        return MaskedRows(place, mask[:, None].to(device))
    return IndexedRows(place, mask.nonzero().flatten().to(device))
