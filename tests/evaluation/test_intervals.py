import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretune.core.errors import DataError
from pretune.core.records import Prediction
from pretune.evaluation.intervals import RESAMPLES, interval, resampled_totals
from pretune.evaluation.metrics import Metric, get_metric, get_metrics

pairs = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["a", "b", "c", None])),
    min_size=1,
    max_size=60,
)


@given(pairs)
def test_an_interval_holds_its_value_and_stays_in_range(labelled, pairs):
    for metric in get_metrics(["accuracy", "macro_f1", "micro_f1"]):
        found = interval(metric, labelled(pairs))
        assert 0 <= found.low <= found.value <= found.high <= 1
        assert found.value == pytest.approx(metric.corpus(labelled(pairs)))
        assert found.n == len(pairs)


@pytest.mark.parametrize("name", ["accuracy", "macro_f1"])
def test_sixteen_times_the_rows_make_a_quarter_of_the_width(name, labelled):
    few = [("a", "a"), ("a", "b"), ("b", "b"), ("b", "b"), ("c", "c"), ("c", "a")] * 10
    narrow = interval(get_metric(name), labelled(few * 16)).spread
    wide = interval(get_metric(name), labelled(few)).spread
    assert narrow == pytest.approx(wide / 4, rel=0.15)


def test_width_is_what_the_normal_approximation_says(labelled):
    # 70 % of 1,000 rows: 2 x 1.96 x sqrt(0.7 x 0.3 / 1000) = 0.0568.
    found = interval(get_metric("accuracy"), labelled([("a", "a")] * 700 + [("a", "b")] * 300))
    assert found.value == 0.7
    assert found.spread == pytest.approx(2 * 1.96 * math.sqrt(0.7 * 0.3 / 1000), rel=0.1)
    assert found.low == pytest.approx(0.6716, abs=0.006)


def test_nineteen_of_twenty_intervals_hold_the_truth(labelled):
    random = np.random.default_rng(7)
    held = 0
    for seed in range(200):
        right = random.random(200) < 0.8
        found = interval(
            get_metric("accuracy"),
            labelled([("a", "a" if one else "b") for one in right]),
            seed=seed,
        )
        held += found.low <= 0.8 <= found.high
    # 190 expected; four standard deviations of a binomial (3.1) around it.
    assert 178 <= held <= 200


def test_all_right_is_not_certainty(labelled):
    # The rule of three: 3 / 60 = 0.05 may be wrong although none of 60 was.
    found = interval(get_metric("accuracy"), labelled([("a", "a")] * 60))
    assert (found.value, found.low, found.high) == (1.0, 0.95, 1.0)
    found = interval(get_metric("accuracy"), labelled([("a", "b")] * 2))
    assert (found.low, found.high) == (0.0, 1.0)


def test_rows_that_are_all_alike_are_not_certainty_either():
    # Thirty rows of ROUGE 2/3: their resamples differ in the last digit, as sums are rounded.
    rows = [Prediction(f"rows.jsonl:{n}", "a b c", ("a b d",)) for n in range(30)]
    found = interval(get_metric("rouge_1"), rows)
    assert (found.low, found.high) == pytest.approx((2 / 3 - 0.1, 2 / 3 + 0.1))


def test_the_same_seed_draws_the_same_rows_and_another_does_not():
    rows = np.random.default_rng(0).random((50, 2))
    assert np.array_equal(resampled_totals(rows, 3), resampled_totals(rows, 3))
    assert not np.array_equal(resampled_totals(rows, 3), resampled_totals(rows, 4))


def test_every_resample_draws_as_many_rows_as_there_are():
    # More rows than fit one block of draws with all resamples, so that blocks are joined too.
    totals = resampled_totals(np.ones((10_000, 1)), 0)
    assert totals.shape == (RESAMPLES, 1)
    assert np.all(totals == 10_000)


def test_every_row_is_drawn_once_on_average():
    drawn = resampled_totals(np.eye(20), 0)
    assert np.all(drawn.sum(axis=1) == 20)
    # A mean of 1,000 draws of variance 0.95: four standard deviations are 0.12.
    assert drawn.mean(axis=0) == pytest.approx(1, abs=0.13)


def test_an_interval_is_widened_to_hold_a_value_no_resample_reaches():
    class ShareOfRowsSeen(Metric):
        """One for all rows, about 0.63 for a resample of them: as biased as can be."""

        name = "share_of_rows_seen"

        def statistics(self, predictions):
            return np.eye(len(predictions))

        def value(self, totals):
            return (totals > 0).mean(axis=-1)

    found = interval(ShareOfRowsSeen(), [Prediction("rows.jsonl:1", "", ())] * 50)
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low < 0.6


def test_ten_thousand_rows_of_many_labels_are_quick(labelled):
    random = np.random.default_rng(0)
    names = [f"label {i}" for i in range(77)]
    rows = labelled([tuple(one) for one in random.choice(names, (10_000, 2))])
    start = time.process_time()
    interval(get_metric("macro_f1"), rows)
    assert time.process_time() - start < 10


def test_no_rows_is_an_error():
    with pytest.raises(DataError, match="no predictions to measure"):
        interval(get_metric("accuracy"), [])


def test_an_interval_prints_in_three_digits(labelled):
    found = interval(get_metric("accuracy"), labelled([("a", "a")] * 60))
    assert str(found) == "1.000 [0.950, 1.000]"
