import pytest

from pretune.evaluation.intervals import Interval
from pretune.planning.decide import decidable
from pretune.spec.goals import Goal


def goal(text):
    return Goal.model_validate(text)


def test_the_least_value_that_passes():
    # 0.85 with 1,000 rows: v - 1.96 sqrt(v (1 - v) / 1000) >= 0.85 first holds at 0.871:
    # 1.96 sqrt(0.871 * 0.129 / 1000) = 0.0208; at 0.870 it is 0.0208 too, and 0.8492 < 0.85.
    found = decidable(goal("accuracy >= 0.85"), 1000)
    assert found.passes_at == 0.871
    assert found.fails_at < 0.85


def test_rows_that_are_missing():
    # 0.9 is 0.05 beyond: 0.9 * 0.1 * (1.96 / 0.05)^2 = 138.3.
    found = decidable(goal("accuracy >= 0.85"), 100)
    assert (found.needed, found.missing) == (139, 39)
    assert "39 are missing" in found.reason
    assert decidable(goal("accuracy >= 0.85"), 139).missing == 0


def test_all_right_is_not_enough_where_rows_are_few():
    # The rule of three: 100 right answers of 100 leave 0.97, below 0.99.
    found = decidable(goal("accuracy >= 0.99"), 100)
    assert found.passes_at is None
    assert "no value can pass with 100 rows" in found.reason
    assert decidable(goal("accuracy >= 0.99"), found.needed).passes_at is not None


def test_goals_that_fall_are_the_mirror():
    up, down = decidable(goal("accuracy >= 0.9"), 200), decidable(goal("accuracy <= 0.1"), 200)
    assert down.passes_at == pytest.approx(1 - up.passes_at)
    assert down.needed == up.needed


def test_a_metric_that_varies_more_needs_more_rows():
    wide = Interval(0.5, 0.3, 0.7, 100)  # a share's would reach 0.098 to each side, not 0.2
    plain = decidable(goal("macro_f1 >= 0.5"), 100)
    found = decidable(goal("macro_f1 >= 0.5"), 100, wide)
    assert found.needed == pytest.approx(plain.needed * (0.2 / 0.098) ** 2, rel=0.02)


@pytest.mark.parametrize("text", ["accuracy >= 1.0", "accuracy <= 0"])
def test_perfection_cannot_be_shown_by_any_number_of_rows(text):
    found = decidable(goal(text), 1_000_000)
    assert (found.passes_at, found.needed, found.missing) == (None, None, 0)
    assert "no number of rows can show it" in found.reason


def test_no_rows_at_all():
    assert decidable(goal("accuracy >= 0.5"), 0).passes_at is None
