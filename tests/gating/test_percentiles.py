"""Percentiles by rank, with intervals that hold whatever the distribution."""

import numpy as np
import pytest

from pretune.gating.percentiles import percentile, values_needed


def test_the_value_is_that_of_the_nearest_rank():
    values = [float(n) for n in range(100, 0, -1)]
    assert percentile(values, 0.5).value == 50
    assert percentile(values, 0.99).value == 99
    assert percentile([7.0], 0.99).value == 7
    assert percentile([float(n) for n in range(1, 1001)], 99.9 / 100).value == 999
    assert percentile(values, 0.07).value == 7


def test_the_interval_lies_between_two_of_the_values():
    # Binomial(100, 0.5): the 2.5 % and 97.5 % points are 40 and 60.
    found = percentile([float(n) for n in range(1, 101)], 0.5)
    assert (found.low, found.high, found.n, found.of) == (40, 61, 100, "requests")


@pytest.mark.parametrize(("share", "needed"), [(0.99, 368), (0.95, 72), (0.5, 6)])
def test_so_many_values_bound_it_from_above(share, needed):
    # The largest of n lies below the percentile with probability share^n; 0.99^368 = 0.0248.
    assert share**needed < 0.025 < share ** (needed - 1)
    assert values_needed(share) == needed
    values = [float(n) for n in range(needed)]
    assert percentile(values, share).high is not None
    assert percentile(values[:-1], share).high is None


def test_the_interval_covers_the_truth_as_often_as_it_says():
    chance = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        found = percentile(chance.exponential(size=500).tolist(), 0.9)
        covered += found.low <= -np.log(0.1) <= (found.high or np.inf)
    assert covered / 400 > 0.93
