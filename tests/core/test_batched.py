from itertools import count, islice

from pretune.core.batched import batched


def test_in_order_and_none_is_lost():
    assert list(batched(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batched([], 2)) == []


def test_no_more_is_taken_than_is_asked_for():
    endless = count()
    assert list(islice(batched(endless, 3), 2)) == [[0, 1, 2], [3, 4, 5]]
    assert next(endless) == 6
