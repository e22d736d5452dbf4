"""Metrics of some rows of an evaluation, under the names that goals ask for."""

from collections.abc import Iterable

from pretune.core.errors import SpecError
from pretune.core.names import unknown
from pretune.data.slices import Slices
from pretune.evaluation.evaluate import Evaluation
from pretune.evaluation.intervals import Interval, interval
from pretune.evaluation.metrics import get_metric, metric_names
from pretune.spec.goals import Goal
from pretune.spec.quantities import QUANTITIES, SHARE


def goal_results(
    evaluation: Evaluation, goals: Iterable[Goal], slices: Slices
) -> dict[str, Interval]:
    """The metrics of ``evaluation``, and those of its rows that the sliced ``goals`` are about.

    A slice of which no row was evaluated is left out: its goal is then not measured. A metric that
    a goal names and the task does not is measured too.
    """
    results = dict(evaluation.metrics)
    for goal in goals:
        if goal.metric not in metric_names() or goal.measure in results:
            continue
        members = slices.rows(goal)
        some = [p for p in evaluation.predictions if members is None or p.row_id in members]
        if some:
            results[goal.measure] = interval(get_metric(goal.metric), some)
    return results


def check_goal_names(goals: Iterable[Goal]) -> None:
    """Refuse goals on what nobody can measure.

    Raises:
        UnknownName: neither a metric nor a quantity; names the nearest.
        SpecError: a share with a threshold that none can reach.
    """
    for goal in goals:
        if goal.quantity is not None and goal.quantity.unit != SHARE:
            continue
        if goal.quantity is None and goal.metric not in metric_names():
            known = [*metric_names(), *(one.form for one in QUANTITIES)]
            raise unknown("metric", goal.metric, known)
        reachable = goal.holds(1.0) or goal.holds(0.0)
        if not 0 <= goal.threshold <= 1 or not reachable:
            hint = f"; did you mean {goal.threshold / 100:g}?" if 1 < goal.threshold <= 100 else ""
            raise SpecError(
                f'goal "{goal}" cannot be met or missed: values of "{goal.metric}" lie between 0 '
                f"and 1{hint}"
            )
