import pytest

from pretune.core.errors import SpecError, UnknownName
from pretune.core.records import Prediction
from pretune.data.slices import Slices
from pretune.evaluation.evaluate import measure
from pretune.evaluation.goals import Outcome, check_goals
from pretune.evaluation.slices import check_goal_names, goal_results
from pretune.spec.goals import Goal

GOALS = [
    Goal.model_validate(text)
    for text in (
        "accuracy >= 0.5",
        "accuracy >= 0.5 where lang = zh",
        "accuracy >= 0.5 where lang = fr",
        "p99_latency_ms < 500 at 20 rps",
    )
]


def found():
    answers = [
        Prediction(f"x:{n}", "a", ("a",), label="a" if n >= 20 else "b", gold="a")
        for n in range(100)
    ]
    return measure("t", answers, ["accuracy"])


def test_a_slice_is_measured_on_its_rows_alone():
    slices = Slices(
        {
            (("lang", "zh"),): frozenset(f"x:{n}" for n in range(20)),
            (("lang", "fr"),): frozenset({"y:1"}),
        }
    )
    results = goal_results(found(), GOALS, slices)
    assert results["accuracy"].value == 0.8
    assert (results["accuracy where lang = zh"].value, results["accuracy where lang = zh"].n) == (
        0.0,
        20,
    )
    outcomes = [check.outcome for check in check_goals(GOALS, results)]
    assert outcomes == [
        Outcome.PASS,
        Outcome.FAIL,
        Outcome.NOT_MEASURED,  # no such row was evaluated
        Outcome.NOT_MEASURED,
    ]


def test_a_latency_at_no_load_says_nothing_of_one_at_a_load():
    (check,) = check_goals(GOALS[3:], {"p99_latency_ms": 10.0})
    assert check.outcome is Outcome.NOT_MEASURED
    assert '"p99_latency_ms at 20 rps" was not measured' in check.reason
    (check,) = check_goals(GOALS[3:], {"p99_latency_ms at 20 rps": 10.0})
    assert check.outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("goal", "kind", "words"),
    [
        ("macro_f2 > 0.5", UnknownName, 'unknown metric "macro_f2"; did you mean "macro_f1"'),
        ("p99_latency > 5", UnknownName, "p99_latency_ms"),
        ("macro_f1 >= 85", SpecError, "between 0 and 1; did you mean 0.85?"),
        ("macro_f1 > 1", SpecError, "cannot be met or missed"),
        ("macro_f1 < 0", SpecError, "cannot be met or missed"),
    ],
)
def test_goals_that_nobody_can_measure(goal, kind, words):
    with pytest.raises(kind) as caught:
        check_goal_names([Goal.model_validate(goal)])
    assert words in str(caught.value)


def test_known_goals_pass():
    check_goal_names(GOALS)
