"""Weights in the layout that oneDNN's products read fastest, on a CPU."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pretune.bases.processor import emulates, multiplied_in

_USUAL_ROWS = 32
"""Rows for which the layout is chosen; any other number is right as well, and measured as fast."""

_PIECE = 256
"""Rows of one product; more are taken piece by piece, which is no slower."""

Amend = Callable[[int, Tensor, Tensor], None]
"""Changes the product ``y (n, out)`` of the ``n`` rows from a number on, in place, by their ``x``;
both in the type that is multiplied in."""


@dataclass(frozen=True, eq=False)
class Packed:
    """A copy of a weight ``(out, in)`` for products of ``fewest`` to ``most`` rows, for which it is
    faster than the weight itself.

    A processor that has no products of bf16 emulates them, four to eight times slower than packed
    ones of float32. There the copy of a bf16 weight is in float32 and twice as large; what
    comes out is rounded to bf16 once, as the processor's own products are.
    """

    layout: Tensor
    """Opaque to all but oneDNN."""
    fewest: int
    most: int | None

    @classmethod
    def of(cls, weight: Tensor) -> "Packed":
        """For a ``weight`` that is :func:`packable`."""
        fewest, most = 1, None
        if weight.dtype is torch.bfloat16:
            fewest, most = (3, None) if emulates(weight) else (1, 64)
        layout = torch.ops.mkldnn._reorder_linear_weight(
            weight.to(multiplied_in(weight)), _USUAL_ROWS
        )
        return cls(layout, fewest, most)

    def suits(self, rows: int) -> bool:
        """Whether a product of so many rows is faster with it."""
        return self.fewest <= rows and (self.most is None or rows <= self.most)

    def __call__(self, x: Tensor, bias: Tensor | None = None, amend: Amend | None = None) -> Tensor:
        """``F.linear`` of ``x (N, in)`` with the weight, every part of it amended before it is
        rounded and put down."""
        dtype = self.layout.dtype
        if bias is not None:
            bias = bias.to(dtype)
        whole = None if len(x) <= _PIECE else x.new_empty(len(x), self.layout.shape[0])
        for first in range(0, len(x), _PIECE):
            piece = x[first : first + _PIECE].to(dtype)
            y = self._product(piece, bias)
            if amend is not None:
                amend(first, piece, y)
            if whole is None:
                return y.to(x.dtype)
            whole[first : first + _PIECE] = y
        return x.new_empty(0, self.layout.shape[0]) if whole is None else whole

    def _product(self, x: Tensor, bias: Tensor | None) -> Tensor:
        rows = len(x)
        filled = _filled(rows)
        x = F.pad(x, (0, 0, 0, filled - rows)) if filled > rows else x.contiguous()
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.layout, bias, "none", [], "")
        return y[:rows]


def packable(weight: Tensor) -> bool:
    """Whether there is such a layout for ``weight``."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    return weight.dtype in (torch.bfloat16, torch.float32)


def packed_bytes(weight: Tensor) -> int:
    """What the copy of ``weight`` takes."""
    return weight.numel() * multiplied_in(weight).itemsize


def _filled(rows: int) -> int:
    """``rows`` filled up to one of seventeen numbers: oneDNN makes and keeps a program for each
    that it meets, about a megabyte."""
    if rows <= 8:
        return 1 << (rows - 1).bit_length()
    step = 8 if rows <= 64 else 32
    return -(-rows // step) * step
