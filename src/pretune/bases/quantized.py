"""4-bit layers (QLoRA, arXiv 2305.14314): how to tell them, and how to keep them as they are."""

from torch import Tensor, nn


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
