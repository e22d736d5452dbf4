"""Which precision ``auto`` means."""

import pytest
import torch

from pretune.spec.training import TrainSpec
from pretune.training.precision import autocasts

CPU = torch.device("cpu")


@pytest.mark.parametrize(("asked", "got"), [("fp32", False), ("bf16", True)])
def test_as_asked(asked, got):
    assert autocasts(TrainSpec(precision=asked), CPU) is got


@pytest.mark.parametrize(
    ("features", "got"),
    [({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx2": True}, False)],
)
def test_auto_is_bf16_where_the_cpu_has_it(monkeypatch, features, got):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    assert autocasts(TrainSpec(precision="auto"), CPU) is got
