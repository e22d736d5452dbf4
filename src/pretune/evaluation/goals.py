"""Goals against results: pass, fail, undecided or not measured, with the reason."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pretune.core.names import nearest
from pretune.evaluation.intervals import Interval
from pretune.spec.goals import Goal


class Outcome(StrEnum):
    """``undecided``: the interval holds values on both sides of the threshold."""

    PASS = "pass"
    FAIL = "fail"
    UNDECIDED = "undecided"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class GoalCheck:
    """One goal, what became of it, and why in one sentence."""

    goal: Goal
    outcome: Outcome
    reason: str


def check_goals(
    goals: Iterable[Goal], results: Mapping[str, Interval | float]
) -> tuple[GoalCheck, ...]:
    """Check each of ``goals`` against what was measured, in their order.

    ``results`` maps names, with the load or the slice where a goal has one
    (:attr:`~pretune.spec.goals.Goal.measure`), to intervals, or to plain numbers where no interval
    is known (a latency); a plain number passes or fails, and is never undecided.
    """
    return tuple(_check(goal, results) for goal in goals)


def _check(goal: Goal, results: Mapping[str, Interval | float]) -> GoalCheck:
    measured = results.get(goal.measure)
    if measured is None:
        guess = nearest(goal.measure, results)
        hint = f' did you mean "{guess}"?' if guess else ""
        names = ", ".join(sorted(results)) or "nothing"
        remedy = "pretune gate measures it" if goal.quantity else 'add it to "metrics:"'
        if goal.slice:
            remedy = "no row that was measured has these values: add such rows to the split"
        reason = f'"{goal.measure}" was not measured;{hint} measured: {names}; {remedy}'
        return GoalCheck(goal, Outcome.NOT_MEASURED, reason)
    if not isinstance(measured, Interval):
        outcome = Outcome.PASS if goal.holds(measured) else Outcome.FAIL
        return GoalCheck(goal, outcome, f"measured {measured:g}")
    held = {goal.holds(measured.low), goal.holds(measured.high)}
    if len(held) == 2:
        side = "meets" if goal.holds(measured.value) else "misses"
        reason = (
            f"{measured} over {measured.n} rows {side} the goal, but the interval holds values on "
            "both sides of it; measure more rows"
        )
        return GoalCheck(goal, Outcome.UNDECIDED, reason)
    outcome = Outcome.PASS if held == {True} else Outcome.FAIL
    return GoalCheck(goal, outcome, f"{measured} over {measured.n} rows")
