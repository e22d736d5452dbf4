"""What the ledger counts, against sums by hand."""

import torch
from torch import nn
from torch.autograd import Variable

from pretune.training.estimate.ledger import Ledger


def test_live_and_peak_by_hand():
    ledger = Ledger()
    weight = torch.zeros(64, 32, device="meta")
    ledger.known(weight)
    with ledger.counting():
        x = torch.zeros(16, 64, device="meta")  # 4,096 bytes
        y = x @ weight  # 16 x 32 floats: 2,048
        del x
        z = y + 1  # another 2,048
    assert sum(ledger.peak.values()) == 4096 + 2048
    assert sum(ledger.live.values()) == 2 * 2048
    assert ledger.flops == 2 * 16 * 64 * 32
    assert z.shape == (16, 32)


def test_views_are_not_counted_twice():
    ledger = Ledger()
    with ledger.counting():
        x = torch.zeros(16, 64, device="meta")
        held = [x.t(), x[:4], x.view(-1)]
    assert sum(ledger.live.values()) == 4096
    assert len(held) == 3


def test_what_a_backward_pass_keeps():
    # The product keeps its input for the weight's gradient; relu keeps its output.
    ledger, weight = Ledger(), nn.Parameter(torch.zeros(64, 64, device="meta"))
    ledger.known(weight)
    with ledger.counting():
        y = (torch.zeros(16, 64, device="meta") @ weight).relu()
        y = y.sum()
    # Input and relu's output, 4,096 each; the product itself is gone; the sum is one block of 64.
    assert sum(ledger.live.values()) == 2 * 4096 + 64


def test_parts_are_those_that_were_current():
    ledger = Ledger()
    with ledger.counting():
        x = torch.zeros(16, 64, device="meta")
        with ledger.under("logits"):
            y = x * 2
    assert dict(ledger.live) == {"activations": 4096, "logits": 4096}
    assert y.shape == x.shape


def test_autocast_casts_a_trained_weight_once_and_a_frozen_one_each_time():
    sizes = []
    for trained in (True, False):
        ledger = Ledger()
        weight = nn.Parameter(torch.zeros(64, 64, device="meta"), requires_grad=trained)
        ledger.known(weight)
        with ledger.counting(autocast=True):
            x = torch.zeros(16, 64, device="meta", dtype=torch.bfloat16).requires_grad_(True)
            y = x @ weight + x @ weight
        assert y.dtype is torch.bfloat16
        sizes.append(ledger.moved)
    # A cast is 64 x 64 bf16; each product is 16 x 64 bf16.
    assert sizes[1] - sizes[0] == 64 * 64 * 2


def test_attention_keeps_no_table_of_positions():
    ledger = Ledger()
    with ledger.counting():
        q, k, v = (torch.zeros(1, 2, 512, 16, device="meta", requires_grad=True) for _ in "qkv")
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert sum(ledger.live.values()) < 512 * 512 * 4  # one head's table
    assert ledger.flops == 2 * 2 * 2 * 512 * 512 * 16
    assert y.shape == q.shape


def test_nothing_is_left_after_a_backward_pass_but_the_gradient():
    ledger, weight = Ledger(), nn.Parameter(torch.zeros(64, 64, device="meta"))
    ledger.known(weight)
    with ledger.counting(), ledger.under("backward"):
        loss = (torch.zeros(16, 64, device="meta") @ weight).square().sum()
        engine = Variable._execution_engine
        start = (torch.ones_like(loss),)
        engine.run_backward((loss,), start, False, False, (), True, accumulate_grad=True)
        del loss, start
    assert sum(ledger.live.values()) == 64 * 64 * 4
