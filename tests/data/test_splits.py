"""A split depends on a row's content only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretune.data.splits import Split, position, split_of

SHARES = {Split.VALIDATION: 0.1, Split.TEST: 0.2}


def test_position_is_the_same_for_ever():
    # First 8 bytes of sha256("a") are ca978112ca1bbdca: 0xca978112ca1bbdca / 2**64 = 0.79137427...
    assert position("a") == pytest.approx(0xCA978112CA1BBDCA / 2**64)


def test_shares_are_met_within_chance():
    found = [split_of(str(i), SHARES) for i in range(20_000)]
    # Three standard deviations of a binomial share at n = 20,000 are below 0.009.
    assert found.count(Split.VALIDATION) / 20_000 == pytest.approx(0.1, abs=0.009)
    assert found.count(Split.TEST) / 20_000 == pytest.approx(0.2, abs=0.009)


@given(st.text(), st.floats(0, 0.5), st.floats(0, 0.3))
def test_another_validation_share_leaves_the_test_rows(key, share, other):
    one = split_of(key, {Split.TEST: 0.2, Split.VALIDATION: share})
    two = split_of(key, {Split.TEST: 0.2, Split.VALIDATION: other})
    assert (one is Split.TEST) == (two is Split.TEST)


@given(st.text())
def test_nothing_is_cut_without_shares(key):
    assert split_of(key, {}) is Split.TRAIN
    assert 0 <= position(key) < 1
