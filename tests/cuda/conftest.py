"""These tests need a CUDA device, and skip without one."""

from dataclasses import replace

import pytest
import torch

from pretune.bases import Base
from pretune.bases.anatomy import dissect


@pytest.fixture(scope="session")
def cuda() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda")


@pytest.fixture(scope="session")
def moved(cuda):
    """Moves a base to the device."""

    def move(base: Base) -> Base:
        model = base.model.to(cuda)
        return replace(base, model=model, anatomy=dissect(model))

    return move
