"""From measures to checks: each goal, and the comparison with the version that answers today."""

import math
from collections.abc import Mapping, Sequence

from pretune.evaluation.compare import Verdict as Compare
from pretune.evaluation.goals import Outcome, check_goals
from pretune.evaluation.intervals import Interval
from pretune.gating.evidence import PROBED, Check, Compared, Measure
from pretune.gating.percentiles import values_needed
from pretune.planning.decide import rows_to_decide, rows_to_reach
from pretune.spec.goals import Goal
from pretune.spec.quantities import percentile_of

COMPARISON = "not worse than the current version"


def judge(
    goals: Sequence[Goal], measures: Mapping[str, Measure], absent: Mapping[str, str]
) -> tuple[Check, ...]:
    """A check for each of ``goals``, in their order.

    ``measures`` are by the name that a goal asks for (:attr:`~pretune.spec.goals.Goal.measure`);
    ``absent`` says why one is not there.
    """
    results = {name: _plain(one) for name, one in measures.items()}
    checks = []
    for checked in check_goals(goals, results):
        goal, measure = checked.goal, measures.get(checked.goal.measure)
        if measure is None:
            reason = absent.get(goal.measure, checked.reason)
            checks.append(_check(goal, Outcome.NOT_MEASURED, reason))
        elif checked.outcome is Outcome.UNDECIDED:
            checks.append(_undecided(goal, measure))
        else:
            checks.append(_check(goal, checked.outcome, _said(measure), of=measure.of))
    return tuple(checks)


def judge_comparison(compared: Compared, margin: float) -> Check:
    """Whether the version keeps what the current one reaches: it fails where it is shown to be
    worse, passes where a loss of ``margin`` or more is ruled out, and is undecided else."""
    delta = compared.delta
    said = f"{compared.metric} {compared.current:.3f} to {compared.new:.3f}, difference {delta}"
    if compared.verdict == Compare.WORSE:
        reason = f"{said} over {delta.n} rows: worse (p = {compared.p:.3f})"
        return Check(name=COMPARISON, outcome=Outcome.FAIL, reason=reason)
    if delta.low > -margin:
        reason = f"{said} over {delta.n} rows: no loss of {margin:g} or more"
        return Check(name=COMPARISON, outcome=Outcome.PASS, reason=reason)
    reason = f"{said} over {delta.n} rows does not rule out a loss of {margin:g}"
    missing = None
    if delta.value > -margin:
        needed = rows_to_reach(delta.value + margin, delta.value - delta.low, delta.n)
        missing = needed - delta.n
        reason += f"; if the difference stays so, about {missing:,} more rows do"
    return Check(name=COMPARISON, outcome=Outcome.UNDECIDED, reason=reason, missing=missing)


def _undecided(goal: Goal, measure: Measure) -> Check:
    side = "meets" if goal.holds(measure.value) else "misses"
    reason = f"{_said(measure)} {side} the goal, but the interval holds values on both sides of it"
    needed = rows_to_decide(goal, measure.interval)
    share = percentile_of(goal.metric)
    if share is not None and measure.high is None:
        needed = values_needed(share / 100)
        reason += f"; {needed:,} bound this percentile from above"
        if goal.load is not None:
            reason += f", in {needed / goal.load:.0f} seconds at this load (--load-seconds)"
    elif needed is None:
        reason += "; the value lies at the threshold"
    elif needed > (most := _most(goal, measure)):
        reason += (
            f"; about {needed:,} would decide it, and a gate asks {most:,} at most: only a value "
            "farther from the threshold can be told"
        )
        needed = None
    else:
        reason += f"; if the value stays so, about {needed:,} decide it"
    missing = None if needed is None else max(1, needed - measure.n)
    if missing is not None:
        reason += f": {missing:,} are missing"
    return _check(goal, Outcome.UNDECIDED, reason, missing, measure.of)


def _most(goal: Goal, measure: Measure) -> float:
    """How many a gate can ask of what ``measure`` counts."""
    if measure.of in ("passages", "probes"):
        return measure.n  # they ship with it
    return PROBED if goal.metric.endswith("_drop") else math.inf


def _check(
    goal: Goal, outcome: Outcome, reason: str, missing: int | None = None, of: str = "rows"
) -> Check:
    return Check(
        name=str(goal), outcome=outcome, reason=reason, need=goal.need, missing=missing, of=of
    )


def _plain(measure: Measure) -> Interval | float:
    """What was counted and not sampled has no interval."""
    return measure.value if measure.low == measure.high else measure.interval


def _said(measure: Measure) -> str:
    if measure.low == measure.high:
        return f"measured {measure.value:.4g}"
    return f"{measure} over {measure.n:,} {measure.of}"
