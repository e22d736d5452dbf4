"""Batches: labels stand where their token is predicted; the order is a function of the seed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pretune.core.errors import ScopeError
from pretune.core.records import TokenExample
from pretune.core.scope import Scope
from pretune.core.segments import Role, TokenSegment
from pretune.data.batches import IGNORED, LengthBuckets, collate

N = IGNORED


def tokens(row_id, *parts):
    return TokenExample(row_id, tuple(TokenSegment(Role(role), tuple(ids)) for role, ids in parts))


def test_labels_are_the_next_tokens_that_the_model_writes():
    # Two answers in one chat: 13, 14 and 16, 17. The last prompt token predicts the first of each.
    chat = tokens(
        "f:1",
        ("system", [11]),
        ("user", [12]),
        ("assistant", [13, 14]),
        ("user", [15]),
        ("assistant", [16, 17]),
    )
    short = tokens("f:2", ("user", [21, 22]), ("target", [23]))
    batch = collate([chat, short], Scope.PROMPT, pad_id=9)
    assert batch.input_ids.tolist() == [[11, 12, 13, 14, 15, 16, 17], [21, 22, 23, 9, 9, 9, 9]]
    assert batch.labels.tolist() == [[N, 13, 14, N, 16, 17, N], [N, 23, N, N, N, N, N]]
    assert batch.routed.int().tolist() == [[1, 1, 0, 0, 1, 0, 0], [1, 1, 0, 0, 0, 0, 0]]
    assert batch.attention_mask.int().tolist() == [[1] * 7, [1, 1, 1, 0, 0, 0, 0]]
    assert batch.virtual.unique().tolist() == [-1]
    assert batch.row_ids == ("f:1", "f:2")
    assert batch.target_tokens == 5
    assert (batch.input_ids.dtype, batch.labels.dtype) == (torch.long, torch.long)


def test_scopes_and_virtual_tokens():
    row = tokens("f:1", ("context", [1, 2]), ("user", [3]), ("target", [4, 5]))
    whole = collate([row], Scope.ALL)
    assert whole.routed.tolist() == [[True] * 5]
    prefix = collate([row], Scope.PROMPT, virtual_tokens=2)
    assert prefix.virtual.tolist() == [[0, 1, -1, -1, -1, -1, -1]]
    assert prefix.labels.tolist() == [[N, N, N, N, 4, 5, N]]
    suffix = collate([row], Scope.SUFFIX, virtual_tokens=1)
    assert suffix.virtual.tolist() == [[-1, -1, 0, -1, -1, -1]]
    assert suffix.routed.tolist() == [[False, False, True, True, False, False]]
    with pytest.raises(ScopeError, match="needs a context segment"):
        collate([tokens("f:2", ("user", [1]), ("target", [2]))], Scope.SUFFIX)


def test_moving_a_batch_keeps_it():
    batch = collate([tokens("f:1", ("user", [1]), ("target", [2]))], Scope.PROMPT).to("meta")
    assert batch.labels.device.type == "meta"
    assert batch.row_ids == ("f:1",)


@given(st.lists(st.integers(1, 500), max_size=300), st.integers(1, 40), st.integers(0, 99))
def test_every_row_once_an_epoch_in_an_order_of_seed_and_epoch(lengths, size, seed):
    buckets = LengthBuckets(lengths, size, seed)
    batches = buckets.batches(3)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert len(batches) == len(buckets)
    assert all(len(batch) == size for batch in batches if batch != min(batches, key=len))
    assert batches == LengthBuckets(lengths, size, seed).batches(3)


def test_epochs_and_seeds_differ_and_lengths_are_near():
    lengths = [(i * 7919) % 1000 for i in range(3200)]
    buckets = LengthBuckets(lengths, 32, seed=1)
    assert buckets.batches(0) != buckets.batches(1)
    assert buckets.batches(0) != LengthBuckets(lengths, 32, seed=2).batches(0)
    spread = [
        max(lengths[i] for i in batch) - min(lengths[i] for i in batch)
        for batch in buckets.batches(0)
    ]
    # 50 batches share a window: a batch spans about a fiftieth of 1000, a random one nearly all.
    assert max(spread) < 100
    one_window = LengthBuckets(lengths[:1600], 32, seed=1)
    first = [lengths[batch[0]] for batch in one_window.batches(0)]
    assert first != sorted(first)
