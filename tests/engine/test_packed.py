"""Products with packed weights are those of ``F.linear``, for any number of rows."""

import pytest
import torch
import torch.nn.functional as F

from pretune.bases.processor import multiplies_bf16
from pretune.engine import packed
from pretune.engine.packed import Packed, packable, packed_bytes

NATIVE = multiplies_bf16()
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2**-8}
"""Relative to the largest number: of bf16, one rounding of 8 bits."""


def terms(dtype, rows, bias=True):
    torch.manual_seed(rows)
    weight, x = torch.randn(48, 32).to(dtype), torch.randn(rows, 32).to(dtype)
    return weight, x, torch.randn(48).to(dtype) if bias else None


def near(got, weight, x, bias):
    exact = F.linear(x.double(), weight.double(), None if bias is None else bias.double())
    assert got.dtype is x.dtype
    error = (got.double() - exact).abs().max() / exact.abs().max()
    assert error <= TOLERANCE[x.dtype]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 3, 8, 9, 64, 65, 255, 256, 257, 700])
def test_the_product_is_that_of_the_weight(dtype, bias, rows):
    weight, x, bias = terms(dtype, rows, bias)
    near(Packed.of(weight)(x, bias), weight, x, bias)


@pytest.mark.parametrize("rows", [3, 33, 300])
def test_a_processor_without_bf16_multiplies_in_float32(monkeypatch, rows):
    monkeypatch.setattr("pretune.bases.processor.multiplies_bf16", lambda: False)
    weight, x, bias = terms(torch.bfloat16, rows)
    own = Packed.of(weight)
    assert packed_bytes(weight) == 2 * weight.nbytes
    assert not own.suits(2)
    assert own.suits(rows)
    near(own(x, bias), weight, x, bias)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("rows", [3, 256, 257, 700])
def test_every_row_is_amended_once_before_it_is_rounded(monkeypatch, dtype, rows):
    monkeypatch.setattr("pretune.bases.processor.multiplies_bf16", lambda: False)
    weight, x, _ = terms(dtype, rows)
    kinds = set()

    def amend(first, x, y):
        kinds.update({x.dtype, y.dtype})
        y += torch.arange(first, first + len(x), dtype=y.dtype)[:, None] + x.sum(1, keepdim=True)

    found = Packed.of(weight)(x, None, amend)
    number = torch.arange(rows, dtype=torch.float64)[:, None]
    exact = F.linear(x.double(), weight.double()) + number + x.double().sum(1, keepdim=True)
    assert kinds == {torch.float32}
    assert (found.double() - exact).abs().max() <= TOLERANCE[dtype] * exact.abs().max()


@pytest.mark.skipif(not NATIVE, reason="this processor has no products of bf16")
def test_a_processor_with_bf16_keeps_it():
    weight, _, _ = terms(torch.bfloat16, 1)
    own = Packed.of(weight)
    assert packed_bytes(weight) == weight.nbytes
    assert own.suits(64)
    assert not own.suits(65)


def test_rows_are_filled_up_a_little_to_one_of_few_numbers():
    filled = {rows: packed._filled(rows) for rows in range(1, 257)}
    assert len(set(filled.values())) == 17
    assert max(filled.values()) == 256
    assert all(rows <= full < max(rows + 32, 2 * rows) for rows, full in filled.items())


def test_only_floats_on_a_processor_can_be_packed():
    assert packable(torch.zeros(4, 4))
    assert not packable(torch.zeros(4, 4, dtype=torch.float16))
    assert not packable(torch.zeros(4, 4, device="meta"))
