import pytest

from pretune.evaluation.goals import Outcome, check_goals
from pretune.evaluation.intervals import Interval
from pretune.spec.goals import Goal

RESULTS = {"macro_f1": Interval(0.88, 0.86, 0.90, 500), "p99_latency_ms": 480.0}


@pytest.mark.parametrize(
    ("goal", "outcome", "reason"),
    [
        ("macro_f1 >= 0.85", Outcome.PASS, "0.880 [0.860, 0.900] over 500 rows"),
        ("macro_f1 >= 0.86", Outcome.PASS, "0.880 [0.860, 0.900] over 500 rows"),
        ("macro_f1 > 0.86", Outcome.UNDECIDED, "meets the goal, but the interval"),
        ("macro_f1 >= 0.89", Outcome.UNDECIDED, "misses the goal, but the interval"),
        ("macro_f1 >= 0.95", Outcome.FAIL, "0.880 [0.860, 0.900] over 500 rows"),
        ("macro_f1 < 0.95", Outcome.PASS, "over 500 rows"),
        ("macro_f1 <= 0.5", Outcome.FAIL, "over 500 rows"),
        ("p99_latency_ms < 500", Outcome.PASS, "measured 480"),
        ("p99_latency_ms < 480", Outcome.FAIL, "measured 480"),
        (
            "macro_f2 >= 0.5",
            Outcome.NOT_MEASURED,
            '"macro_f2" was not measured; did you mean "macro_f1"? '
            "measured: macro_f1, p99_latency_ms; add it",
        ),
        (
            "macro_f1 >= 0.5 where lang = zh",
            Outcome.NOT_MEASURED,
            "no row that was measured has these values: add such rows to the split",
        ),
        ("ece <= 0.1", Outcome.NOT_MEASURED, "p99_latency_ms; pretune gate measures it"),
    ],
)
def test_a_goal_is_checked(goal, outcome, reason):
    (check,) = check_goals([Goal.model_validate(goal)], RESULTS)
    assert check.outcome is outcome
    assert reason in check.reason
    assert str(check.goal) == goal


def test_goals_keep_their_order():
    goals = [Goal.model_validate(text) for text in ("p99_latency_ms < 1", "macro_f1 > 0")]
    assert [check.goal for check in check_goals(goals, RESULTS)] == goals


def test_nothing_measured_is_said():
    (check,) = check_goals([Goal.model_validate("bleu > 0")], {})
    assert "measured: nothing" in check.reason
