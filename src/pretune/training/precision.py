"""In which precision training computes."""

import torch

from pretune.bases.processor import multiplies_bf16
from pretune.spec.training import TrainSpec


def autocasts(spec: TrainSpec, device: torch.device) -> bool:
    """Whether products are computed in bf16: as asked, or with ``auto`` where ``device`` is fast
    at it. Weights, gradients and the loss stay in float32 either way."""
    if spec.precision != "auto":
        return spec.precision == "bf16"
    return torch.cuda.is_bf16_supported() if device.type == "cuda" else multiplies_bf16()
