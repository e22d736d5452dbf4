"""Goals as people write them: what they mean, what is refused, and with which words."""

import pytest

from pretune.core.errors import SpecError
from pretune.spec.dump import task_value
from pretune.spec.goals import Goal
from pretune.spec.quantities import percentile_of
from pretune.spec.task import TaskSpec, parse_task

TASK = {
    "data": {"train": "rows.jsonl"},
    "template": {"system": "How urgent?", "user": "{text}", "target": "{label}"},
    "labels": ["low", "high"],
}


def task(*goals: object) -> TaskSpec:
    return parse_task({**TASK, "goals": list(goals)}, name="t")


@pytest.mark.parametrize(
    ("said", "measure", "threshold"),
    [
        ("macro_f1 >= 0.85", "macro_f1", 0.85),
        ("p99_latency_ms < 500 at 20 rps", "p99_latency_ms at 20 rps", 500),
        ("accuracy > 0.9 where lang = zh", "accuracy where lang = zh", 0.9),
        (
            "accuracy > 0.9 where lang=zh and n = 3",
            "accuracy where lang = zh and n = 3",
            0.9,
        ),
        ({"need": "be quick", "goal": "p50_ttft_ms <= 80"}, "p50_ttft_ms", 80),
        ({"goal": "cost_per_1000 < 2 at 5 rps", "price_per_hour": 3}, "cost_per_1000 at 5 rps", 2),
        (
            {"metric": "accuracy", "op": ">", "threshold": 0.9, "slice": {"n": 3}},
            "accuracy where n = 3",
            0.9,
        ),
        (
            {"goal": "accuracy > 0.9", "slice": {"team": "cards and loans"}},
            "accuracy where team = cards and loans",
            0.9,
        ),
        # More digits than a number usually has are no less a part of the promise.
        ("accuracy >= 0.87654321", "accuracy", 0.87654321),
        ("p99_latency_ms < 12345678 at 0.1234567 rps", "p99_latency_ms at 0.1234567 rps", 12345678),
        ("serve_memory_gb < 1.2345678e-7", "serve_memory_gb", 1.2345678e-7),
    ],
)
def test_what_a_goal_means_and_that_it_is_written_as_it_was_read(said, measure, threshold):
    spec = task(said)
    (goal,) = spec.goals
    assert (goal.measure, goal.threshold) == (measure, threshold)
    assert parse_task(task_value(spec), name="t") == spec


def test_a_need_is_kept_beside_its_goal():
    (goal,) = task({"need": "find the clause", "goal": "entity_f1 >= 0.85"}).goals
    assert (goal.need, str(goal)) == ("find the clause", "entity_f1 >= 0.85")


@pytest.mark.parametrize(
    ("goals", "words"),
    [
        (["good"], '"good" is not a name'),
        (["f1 >= 0.9", "f1 < 0.8"], 'no value of "f1" meets both "f1 >= 0.9" and "f1 < 0.8"'),
        (["f1 < 0.9", "f1 >= 0.9"], 'no value of "f1"'),
        (
            ["p99_latency_ms < 100 at 5 rps", "p50_latency_ms > 200 at 5 rps"],
            'no times meet both "p99_latency_ms < 100 at 5 rps" and "p50_latency_ms > 200',
        ),
        (["f1 > 0.9", "f1 <= 0.9"], 'no value of "f1"'),
        (["f1 > 0.5 at 20 rps"], '"f1" does not depend on a load'),
        (["p99_latency_ms < 0"], 'the time to a whole answer of "0"; give a positive number'),
        (["p99_latency_ms < 9 where a = b"], "measured of the whole task"),
        (["ece < 0.1 where a = b"], "measured of the whole task"),
        (["typos_drop < 0.1 at 20 rps"], '"typos_drop" does not depend on a load'),
        (["safety_share > 0.9", "safety_share < 0.8"], 'no value of "safety_share"'),
        (["cost_per_1000 < 2"], '"cost_per_1000" needs "price_per_hour"'),
        ([{"goal": "f1 > 0.5", "price_per_hour": 2}], 'says nothing about "f1"'),
        (
            [
                {"goal": "cost_per_1000 < 2", "price_per_hour": 2},
                {"goal": "cost_per_1000 < 3", "price_per_hour": 3.5},
            ],
            'from "2" an hour and "cost_per_1000 < 3" from "3.5", of one machine',
        ),
        (["f1 > 0.5 where lang"], "not one column = value"),
        (["f1 > 0.5 where a = 1 and a = 2"], "not one column = value"),
        ([{"goal": "f1 > 0.5", "slice": {"new": True}}], "put it in quotes"),
        ([{"goal": "f1 > 0.5", "slice": {}}], "at least 1"),
        ([{"goal": "f1 > 0.5", "op": "<"}], '"op" stands beside the goal'),
        ([{"goal": "f1 > 0.5", "nead": "x"}], 'unknown key "nead"; did you mean "need"?'),
        ([{"metric": "f1", "op": ">", "threshold": float("nan")}], "finite"),
    ],
)
def test_what_is_refused_and_how(goals, words):
    with pytest.raises(SpecError) as caught:
        task(*goals)
    assert words in str(caught.value)


def test_goals_that_can_both_hold_are_kept():
    both = (
        "f1 >= 0.9",
        "f1 <= 0.9",
        "f1 > 0.5 where a = b",
        "f1 < 0.4 where a = c",
        "p99_latency_ms > 200",
        "p50_latency_ms < 100",
        "p50_ttft_ms > 300",
        "p50_latency_ms > 300 at 5 rps",
    )
    assert [str(goal) for goal in task(*both).goals] == list(both)


def test_percentiles_are_read_from_names():
    assert [percentile_of(n) for n in ("p99_latency_ms", "p99.9_ttft_ms", "f1")] == [99, 99.9, None]
    for name in ("p100_latency_ms", "p0_latency_ms", "p00.0_ttft_ms"):
        assert Goal.model_validate(f"{name} < 5").quantity is None
    assert percentile_of("p0.5_ttft_ms") == 0.5
