"""Which precision ``auto`` means."""

import pytest
import torch

from pretune.spec.training import TrainSpec
from pretune.training import precision
from pretune.training.precision import autocasts

CPU = torch.device("cpu")


@pytest.mark.parametrize(("asked", "got"), [("fp32", False), ("bf16", True)])
def test_as_asked(asked, got):
    assert autocasts(TrainSpec(precision=asked), CPU) is got


@pytest.mark.parametrize("fast", [True, False])
def test_auto_is_bf16_where_the_cpu_has_it(monkeypatch, fast):
    monkeypatch.setattr(precision, "multiplies_bf16", lambda: fast)
    assert autocasts(TrainSpec(precision="auto"), CPU) is fast
