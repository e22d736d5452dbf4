"""Goals against measures, and this version against the current one."""

import pytest

from pretune.evaluation.intervals import Interval
from pretune.gating.evidence import Compared, Measure, Verdict, verdict_of
from pretune.gating.judge import judge, judge_comparison
from pretune.planning.decide import rows_to_decide
from pretune.spec.goals import Goal


def goal(text: str) -> Goal:
    return Goal.model_validate(text)


def measure(value, low, high, n=100, of="rows") -> Measure:
    return Measure(value=value, low=low, high=high, n=n, of=of)


def only(text: str, found: Measure | None, absent=None):
    measures = {} if found is None else {goal(text).measure: found}
    (check,) = judge([goal(text)], measures, absent or {})
    return check


def test_whole_intervals_decide():
    assert only("accuracy >= 0.8", measure(0.9, 0.85, 0.95)).outcome == "pass"
    failed = only("accuracy >= 0.8", measure(0.7, 0.65, 0.75))
    assert failed.outcome == "fail"
    assert failed.reason == "0.7 [0.65, 0.75] over 100 rows"
    assert only("adapter_mb < 1", measure(0.5, 0.5, 0.5, 1)).reason == "measured 0.5"


def test_undecided_says_how_many_are_missing():
    # 0.04 beyond the threshold with an interval that reaches 0.08 down: twice as near takes four
    # times the rows.
    check = only("accuracy >= 0.8", measure(0.84, 0.76, 0.9))
    assert (check.outcome, check.missing) == ("undecided", 300)
    assert "about 400 decide it: 300 are missing" in check.reason
    at = only("accuracy >= 0.8", measure(0.8, 0.7, 0.9))
    assert (at.outcome, at.missing) == ("undecided", None)
    assert "the value lies at the threshold" in at.reason


def test_more_than_a_gate_can_ask_is_not_said_to_be_missing():
    # 16 times the 200 rows would do, and the gate changes 200 of any number.
    drop = only("typos_drop <= 0.05", measure(0.04, -0.01, 0.08, 200))
    assert (drop.outcome, drop.missing) == ("undecided", None)
    assert "about 3,200 would decide it, and a gate asks 200 at most" in drop.reason
    assert only("typos_drop <= 0.05", measure(0.02, -0.01, 0.06, 100)).missing == 78
    general = only("perplexity_ratio <= 1.1", measure(1.05, 1.0, 1.2, 16, "passages"))
    assert (general.missing, "a gate asks 16 at most" in general.reason) == (None, True)


def test_rows_to_decide_takes_the_end_on_the_thresholds_side():
    assert rows_to_decide(goal("accuracy >= 0.8"), measure(0.75, 0.1, 0.85).interval) == 400
    assert rows_to_decide(goal("accuracy >= 0.8"), measure(0.8, 0.1, 0.9).interval) is None


def test_an_interval_of_the_rule_of_three_narrows_with_the_rows():
    # 20 rows that are all right reach 0.15 down; 3 / 60 is 0.05.
    found = measure(1.0, 0.85, 1.0, 20).interval
    assert rows_to_decide(goal("accuracy >= 0.95"), found) == 60
    delta = Measure.of_difference(Interval(0.0, 0.0, 0.0, 20))
    alike = compared(0.0, 0.0, 0.0).model_copy(update={"delta": delta})
    assert judge_comparison(alike, 0.05).missing == 40


def test_too_few_requests_leave_a_percentile_undecided():
    few = measure(300.0, 250.0, None, 100, "requests")
    check = only("p99_latency_ms < 500 at 20 rps", few)
    assert (check.outcome, check.missing, check.of) == ("undecided", 268, "requests")
    assert "368 bound this percentile from above, in 18 seconds at this load" in check.reason
    assert check.reason.endswith(": 268 are missing")
    assert only("p99_latency_ms < 200 at 20 rps", few).outcome == "fail", "its low end decides"


def test_what_is_not_measured_says_why():
    assert only("ece <= 0.1", None, {"ece": "no labels"}).reason == "no labels"
    check = only("accuracy >= 0.8", None)
    assert check.outcome == "not measured"
    assert verdict_of((check,)) is Verdict.UNDECIDED


def compared(value, low, high, verdict="undecided") -> Compared:
    delta = measure(value, low, high)
    return Compared(
        metric="accuracy", current=0.8, new=0.8 + value, delta=delta, p=0.5, verdict=verdict
    )


def test_a_worse_version_fails_and_one_that_lost_nothing_passes():
    assert judge_comparison(compared(-0.1, -0.15, -0.05, "worse"), 0.05).outcome == "fail"
    assert judge_comparison(compared(0.0, -0.04, 0.04), 0.05).outcome == "pass"
    assert judge_comparison(compared(0.1, 0.05, 0.15, "better"), 0.05).outcome == "pass"


def test_few_rows_without_a_difference_rule_out_no_loss():
    # The rule of three: of 10 rows that kept their answers, 3 in 10 others may lose theirs.
    def alike(n):
        delta = Measure.of_difference(Interval(0.0, 0.0, 0.0, n))
        return compared(0.0, 0.0, 0.0).model_copy(update={"delta": delta})

    assert judge_comparison(alike(10), 0.05).outcome == "undecided"
    assert judge_comparison(alike(200), 0.05).outcome == "pass"
    drop = Measure.of_difference(Interval(0.0, 0.0, 0.0, 10))
    assert (drop.low, drop.high) == (-0.3, 0.3)
    assert only("typos_drop <= 0.05", drop).outcome == "undecided"
    assert Measure.of_difference(Interval(1.0, 1.0, 1.0, 10)).low == pytest.approx(0.7)


def test_a_loss_that_is_not_ruled_out_leaves_it_undecided():
    # To narrow 0.1 down to the margin of 0.05 takes four times the rows.
    check = judge_comparison(compared(0.0, -0.1, 0.1), 0.05)
    assert (check.outcome, check.missing) == ("undecided", 300)
    lost = judge_comparison(compared(-0.06, -0.2, 0.02), 0.05)
    assert (lost.outcome, lost.missing) == ("undecided", None)


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ([], "pass"),
        (["pass", "pass"], "pass"),
        (["pass", "undecided"], "undecided"),
        (["pass", "not measured"], "undecided"),
        (["undecided", "fail", "pass"], "fail"),
    ],
)
def test_what_checks_come_to(outcomes, verdict):
    one = only("accuracy >= 0.8", measure(0.9, 0.85, 0.95))
    checks = tuple(one.model_copy(update={"outcome": outcome}) for outcome in outcomes)
    assert verdict_of(checks) == verdict
