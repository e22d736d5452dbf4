"""Weights arrive as they left, whether one by one or in one piece."""

import pytest
import torch

from pretune.engine.transfer import moved, moved_whole

CPU = torch.device("cpu")
SITES = {
    "one": {"A": torch.randn(3, 5), "B": torch.randn(7, 3)},
    "two": {"A": torch.randn(3, 64), "b": torch.randn(1)},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_in_one_piece_is_one_by_one(dtype):
    whole, apart = moved_whole(SITES, CPU, dtype), moved(SITES, CPU, dtype)
    storages = set()
    for site, parts in SITES.items():
        for part, value in parts.items():
            arrived = whole[site][part]
            assert arrived.dtype is dtype
            assert torch.equal(arrived, value.to(dtype))
            assert torch.equal(arrived, apart[site][part])
            assert arrived.data_ptr() % 64 == 0
            storages.add(arrived.untyped_storage().data_ptr())
    assert len(storages) == 1


def test_types_that_differ_travel_one_by_one():
    mixed = {"one": {"A": torch.zeros(2), "B": torch.zeros(2, dtype=torch.bfloat16)}}
    there = moved(mixed, torch.device("meta"), None)
    assert there["one"]["A"].dtype is torch.float32
    assert there["one"]["B"].dtype is torch.bfloat16
