"""Which processors have products of bf16."""

import pytest
import torch

from pretune.bases.processor import emulates, multiplies_bf16

X86 = {"architecture": "x86_64"}


@pytest.fixture(autouse=True)
def asked_anew():
    multiplies_bf16.cache_clear()
    yield
    multiplies_bf16.cache_clear()


@pytest.mark.parametrize(
    ("features", "has"),
    [
        ({**X86, "avx512_bf16": True}, True),
        ({**X86, "amx_bf16": True, "avx512_bf16": False}, True),
        ({**X86, "avx512_f": True, "avx512_bf16": False}, False),
        ({**X86, "avx2": True}, False),
    ],
)
def test_instructions_are_asked_for_by_name(monkeypatch, features, has):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    assert multiplies_bf16() is has
    assert emulates(torch.zeros(1, dtype=torch.bfloat16)) is not has
    assert not emulates(torch.zeros(1))
    assert not emulates(torch.zeros(1, dtype=torch.bfloat16, device="meta"))


def test_elsewhere_onednn_is_asked(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "arm64"})
    assert multiplies_bf16() is bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
