"""A set of ids in little memory."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from pretune.data.workshop.seen import Seen


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(2, 40), max_size=300))
def test_it_is_a_set(values):
    seen, expected = Seen(), set()
    for value in values:
        value = value or 2
        assert seen.add(value) is (value not in expected)
        expected.add(value)
        assert len(seen) == len(expected)


def test_growth_keeps_all_and_takes_24_bytes_an_id_at_most():
    tracemalloc.start()
    seen = Seen()
    step = 0x9E3779B97F4A7C15
    assert all(seen.add(n * step % 2**64) for n in range(1, 20_001))
    assert not any(seen.add(n * step % 2**64) for n in range(1, 20_001))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 20_000 * 24 + 10_000
