import dataclasses

import numpy as np
import pytest
from scipy.stats import binomtest

from pretune.core.errors import DataError, UnknownName
from pretune.evaluation.compare import Verdict, compare, compare_repeated


def runs(labelled, both, only_first, only_second, neither):
    """Two runs by how many rows which of them gets right."""
    first = "r" * both + "r" * only_first + "w" * only_second + "w" * neither
    second = "r" * both + "w" * only_first + "r" * only_second + "w" * neither
    return labelled([("r", one) for one in first]), labelled([("r", one) for one in second])


def test_clearly_better_and_the_other_way_round_worse(labelled):
    first, second = runs(labelled, 50, 5, 30, 15)
    (found,) = compare(first, second, ["accuracy"])
    assert (found.first, found.second, found.delta.value) == (0.55, 0.80, pytest.approx(0.25))
    assert found.verdict is Verdict.BETTER
    assert found.delta.low > 0
    (reverse,) = compare(second, first, ["accuracy"])
    assert reverse.verdict is Verdict.WORSE
    assert reverse.delta.value == pytest.approx(-0.25)


@pytest.mark.parametrize("counts", [(50, 10, 12, 28), (50, 6, 14, 30), (80, 0, 0, 20)])
def test_a_small_difference_is_undecided(labelled, counts):
    (found,) = compare(*runs(labelled, *counts), ["accuracy"])
    assert found.verdict is Verdict.UNDECIDED


@pytest.mark.parametrize(("only_first", "only_second"), [(10, 12), (6, 14), (3, 14)])
def test_p_of_accuracy_is_mcnemars(labelled, only_first, only_second):
    # The exact McNemar test is a binomial test of the rows that only one run gets right.
    expected = binomtest(only_first, only_first + only_second, 0.5).pvalue
    (found,) = compare(*runs(labelled, 50, only_first, only_second, 10), ["accuracy"])
    assert found.p == pytest.approx(expected, abs=0.05, rel=0.2)


def test_a_run_is_no_better_than_itself(labelled):
    rows, _ = runs(labelled, 5, 5, 0, 0)
    for found in compare(rows, rows, ["accuracy", "macro_f1", "exact_match"]):
        assert (found.delta.value, found.delta.low, found.delta.high, found.p) == (0, 0, 0, 1)
        assert found.verdict is Verdict.UNDECIDED


def test_pairing_decides_what_two_intervals_alone_could_not(labelled):
    # 4 points on 400 rows: each interval is +-4.9 points wide, but no row got worse.
    first, second = runs(labelled, 200, 0, 16, 184)
    (found,) = compare(first, second, ["accuracy"])
    assert found.verdict is Verdict.BETTER


def test_false_alarms_are_rare(labelled):
    random = np.random.default_rng(1)
    alarms = 0
    for _ in range(60):
        first, second = random.choice(["r", "w"], (2, 100), p=[0.7, 0.3])
        (found,) = compare(
            labelled([("r", one) for one in first]),
            labelled([("r", one) for one in second]),
            ["accuracy"],
        )
        alarms += found.verdict is not Verdict.UNDECIDED
    assert alarms <= 9  # 3 expected; more than 9 has a chance below 1 in 1,000


def test_metrics_that_are_no_means_are_compared(written):
    reference = "the cat sat on the mat all day long"
    poor = written([("the dog sat on a mat all night", reference)] * 30)
    good = written([("the cat sat on the mat all day", reference)] * 30)
    for found in compare(poor, good, ["bleu", "chrf", "rouge_l"]):
        assert found.verdict is Verdict.BETTER
        assert found.delta.value == pytest.approx(found.second - found.first)


def test_row_order_does_not_matter(labelled):
    first, second = runs(labelled, 50, 5, 30, 15)
    assert compare(first, second[::-1], ["macro_f1"]) == compare(first, second, ["macro_f1"])


def test_different_rows_are_refused_and_counted(labelled):
    first, second = runs(labelled, 5, 1, 1, 1)
    with pytest.raises(DataError, match=r"2 of the first are missing .* 0 of the second") as caught:
        compare(first, second[2:], ["accuracy"])
    assert 'such as row "rows.jsonl:1"; evaluate both on the same split' in str(caught.value)
    with pytest.raises(DataError, match=r"0 of the first are missing .* 1 of the second"):
        compare(first[1:], second, ["accuracy"])


def test_other_right_answers_are_refused(labelled):
    first, second = runs(labelled, 3, 0, 0, 0)
    second[1] = dataclasses.replace(second[1], gold="other")
    with pytest.raises(DataError, match=r'different right answers for row "rows.jsonl:2"'):
        compare(first, second, ["accuracy"])


def test_a_row_answered_twice_is_refused(labelled):
    first, second = runs(labelled, 3, 0, 0, 0)
    with pytest.raises(DataError, match="the second run answers a row twice"):
        compare(first, [*second, second[0]], ["accuracy"])


def test_an_unknown_metric_is_refused(labelled):
    first, second = runs(labelled, 3, 0, 0, 0)
    with pytest.raises(UnknownName, match='did you mean "accuracy"'):
        compare(first, second, ["acuracy"])


def test_a_low_p_is_not_enough_where_the_interval_holds_zero(labelled):
    # Found by search: the rare label "c" makes macro F1 wander from resample to resample.
    gold = "acbbaaaaaaaaaabbaaaacbacaaabbbaab"
    first = "acbaacabababaabaaaaacbaacacbbbcac"
    second = "aabbaaaaaaaaaabbaaaacbacaaabbbaab"
    (found,) = compare(
        labelled(list(zip(gold, first, strict=True))),
        labelled(list(zip(gold, second, strict=True))),
        ["macro_f1"],
    )
    assert found.p < 0.05
    assert found.delta.low < 0 < found.delta.high
    assert found.verdict is Verdict.UNDECIDED


def test_an_interval_above_zero_is_not_enough_where_p_is_high(labelled):
    # McNemar's exact p of 0 against 5 rows is 2 / 2^5 = 0.0625.
    (found,) = compare(*runs(labelled, 5, 0, 5, 0), ["accuracy"])
    assert found.delta.low > 0
    assert found.p == pytest.approx(0.0625, abs=0.02)
    assert found.verdict is Verdict.UNDECIDED


def test_p_is_never_zero(labelled):
    # No swap of 100 coins comes near; the real order itself is one of 1,001.
    (found,) = compare(*runs(labelled, 0, 0, 100, 0), ["accuracy"])
    assert found.p == pytest.approx(1 / 1001)


def test_repeats_of_one_run_tell_no_more_than_the_run(labelled):
    # Rows are resampled, not answers: else three repeats would narrow the interval by sqrt(3).
    pair = runs(labelled, 50, 6, 14, 30)
    for metric in ("accuracy", "macro_f1"):
        assert compare_repeated([pair] * 3, [metric]) == compare(*pair, [metric])


def test_repeats_are_taken_together_row_by_row(labelled):
    one, other = runs(labelled, 50, 5, 30, 15), runs(labelled, 50, 30, 5, 15)
    (found,) = compare_repeated([one, (other[0], other[1][::-1])], ["accuracy"])
    # (55 + 80) and (80 + 55) right of 200 answers
    assert (found.first, found.second) == (0.675, 0.675)
    assert (found.verdict, found.delta.n) == (Verdict.UNDECIDED, 100)


def test_no_runs_are_no_comparison():
    with pytest.raises(DataError, match="no runs to compare"):
        compare_repeated([], ["accuracy"])
