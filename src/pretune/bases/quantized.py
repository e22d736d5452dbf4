"""4-bit layers (QLoRA, arXiv 2305.14314): to tell, to keep as they are, to reckon."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

NF4_BYTES = 0.5 + (1 + 4 / 256) / 64
"""Bytes of a 4-bit weight: half, and a doubly quantised scale for 64 (QLoRA, arXiv 2305.14314)."""


def is_quantized(module: nn.Module) -> bool:
    """Whether the layer keeps its matrix in 4 bits."""
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and hasattr(weight, "quant_state")


def keep_layout(model: nn.Module) -> None:
    """Keep 4-bit layers from repacking their weights.

    On CPUs with AVX512-BF16 bitsandbytes repacks a layer in place on its first forward pass
    outside of training. That loses its gradients and rounds its scales, so that a base measured
    before tuning is another base. A layer told that it trains is left alone; nothing else in it
    depends on that.
    """
    for module in model.modules():
        if is_quantized(module):
            module.training = True


class _Unpacked(torch.autograd.Function):
    """A product with a matrix that exists only while it is used, as 4-bit layers compute it."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, rows: int) -> Tensor:
        ctx.columns = x.shape[-1]  # type: ignore[attr-defined]
        return x @ x.new_empty(x.shape[-1], rows)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad @ grad.new_empty(grad.shape[-1], ctx.columns), None


class FourBit(nn.Module):
    """Stands for a 4-bit linear layer: its packed bytes, and its product's cost."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        size = int(linear.weight.numel() * NF4_BYTES)
        packed = torch.empty(size, dtype=torch.uint8, device="meta")
        self.weight = nn.Parameter(packed, requires_grad=False)
        self.bias = linear.bias

    def matrix(self) -> Tensor:
        """What unpacking it makes, ``(out, in)``, in bf16."""
        shape = self.out_features, self.in_features
        return torch.empty(shape, dtype=torch.bfloat16, device=self.weight.device)

    def forward(self, x: Tensor) -> Tensor:
        """``x (..., in)`` to ``(..., out)``."""
        y: Tensor = _Unpacked.apply(x, self.out_features)  # type: ignore[no-untyped-call]
        return y if self.bias is None else y + self.bias
