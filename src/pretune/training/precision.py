"""In which precision training computes."""

import torch

from pretune.spec.training import TrainSpec

_FAST_ON_CPU = ("avx512_bf16", "amx_bf16")
"""CPU features with bf16 products; without one, bf16 is emulated and slower than float32."""


def autocasts(spec: TrainSpec, device: torch.device) -> bool:
    """Whether products are computed in bf16: as asked, or with ``auto`` where ``device`` is fast
    at it. Weights, gradients and the loss stay in float32 either way."""
    if spec.precision != "auto":
        return spec.precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    features = torch.cpu.get_capabilities()
    return any(bool(features.get(name)) for name in _FAST_ON_CPU)
