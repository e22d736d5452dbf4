"""Callers are let through at the pace that was set; the clock is a fake one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretune.core.errors import TeacherError
from pretune.data.teacher.pace import Pace


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        assert seconds > 0
        self.now += seconds


def times(calls, tokens, sizes):
    clock = Clock()
    pace = Pace(calls, tokens, clock, clock.sleep)
    found = []
    for size in sizes:
        pace.wait(size)
        found.append(clock.now)
    return found


def test_calls_per_minute():
    assert times(2, None, [1] * 5) == [1000, 1000, 1060, 1060, 1120]


def test_tokens_per_minute():
    # 60 + 40 fill the minute; the call of 50 must wait until the first 60 are a minute old.
    assert times(None, 100, [60, 40, 50]) == [1000, 1000, 1060]


def test_a_call_of_more_tokens_than_a_minute_has_is_let_through_alone():
    assert times(None, 100, [10, 500, 10]) == [1000, 1060, 1120]


@given(st.integers(1, 5), st.integers(50, 200), st.lists(st.integers(1, 50), max_size=30))
def test_no_minute_has_more(calls, tokens, sizes):
    found = times(calls, tokens, sizes)
    for start in found:
        within = [size for at, size in zip(found, sizes, strict=True) if start <= at < start + 60]
        assert len(within) <= calls
        assert sum(within) <= tokens


def test_after_a_429_nobody_is_let_through():
    clock = Clock()
    pace = Pace(clock=clock, sleep=lambda seconds: None)
    pace.rest(30, everybody=True)
    pace._sleep = clock.sleep
    pace.wait(1)
    assert clock.now == 1030


def test_who_waits_is_told_why_it_ended():
    pace = Pace()
    pace.stop("the key is refused")
    pace.stop("and so on")
    with pytest.raises(TeacherError, match="the key is refused"):
        pace.wait(1)
