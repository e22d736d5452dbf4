import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretune.evaluation.report.scales import Scale, count, duration, round_range, size

number = st.floats(-1e6, 1e6).map(lambda value: round(value, 6))


@given(st.lists(number, min_size=1, max_size=5))
def test_a_round_range_holds_its_values(values):
    low, high = round_range(values)
    slack = 1e-6 * (high - low)
    assert low < high
    assert low - slack <= min(values) <= max(values) <= high + slack


@given(st.lists(number, min_size=1, max_size=5), st.integers(3, 9))
def test_ticks_are_few_and_inside_the_axis(values, most):
    scale = Scale(*round_range(values), 10, 300)
    ticks = scale.ticks(most)
    assert 1 <= len(ticks) <= most
    assert all(9.99 <= tick.at <= 300.01 for tick in ticks)


def test_ticks_by_hand():
    assert [tick.text for tick in Scale(0, 1, 0, 100).ticks()] == [
        "0",
        "0.2",
        "0.4",
        "0.6",
        "0.8",
        "1",
    ]
    assert [tick.at for tick in Scale(0, 1, 0, 100).ticks()] == [0, 20, 40, 60, 80, 100]
    assert round_range([0.31, 0.363], from_zero=True) == (0, pytest.approx(0.4))


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (count(None), "–"),
        (count(0), "0"),
        (count(999), "999"),
        (count(9_240), "9.24 k"),
        (count(412_000), "412 k"),
        (count(999_960), "1 M"),
        (count(7_000_000_000), "7 G"),
        (size(512), "512 B"),
        (size(1 << 20), "1 MiB"),
        (size(1_500), "1.46 KiB"),
        (duration(None), "–"),
        (duration(0.04), "0.0 s"),
        (duration(41.23), "41.2 s"),
        (duration(59.97), "1 min 00 s"),
        (duration(93), "1 min 33 s"),
        (duration(3_720), "1 h 02 min"),
    ],
)
def test_numbers_for_people(shown, text):
    assert shown == text
