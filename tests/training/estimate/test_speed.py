"""What a machine can do is told by short trials, on one without products of bf16 too."""

import pytest
import torch

from pretune.training.estimate import speed

CPU = torch.device("cpu")


@pytest.mark.parametrize(("seconds", "side", "trials"), [(1.0, 256, 1), (1e-4, 1024, 2)])
def test_a_large_product_is_tried_where_it_is_short(monkeypatch, seconds, side, trials):
    asked = []

    def best(run, _device):
        asked.append(run)
        return seconds

    monkeypatch.setattr(speed, "_best", best)
    assert speed._flops(torch.float32, CPU) == 2 * side**3 / seconds
    assert len(asked) == trials


def test_speeds_are_those_of_this_machine():
    found = speed.speed_of(CPU, bf16=False)
    assert 1e8 < found.flops < 1e14
    assert 1e7 < found.bytes < 1e13
