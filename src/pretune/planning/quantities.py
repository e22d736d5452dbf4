"""Goals on sizes and times of training, against the estimate."""

from pretune.bases import Base
from pretune.planning.plan import GoalPlan, Prospect, Resources
from pretune.spec.goals import Goal
from pretune.spec.task import TaskSpec
from pretune.training.estimate.calibrate import Range


def cannot_be_probed(goal: Goal, task: TaskSpec) -> str | None:
    """Why no gate can measure what ``goal`` asks of ``task``; ``None`` where one can."""
    if goal.metric == "ece" and task.labels is None:
        return "only labels have probabilities that can be held against what is right"
    return None


def prospect_of(goal: Goal, resources: Resources, base: Base) -> GoalPlan:
    """What the estimate says of ``goal``: of training's memory and time, of the adapter's size; of
    a server's memory only what the weights take of it."""
    estimate = resources.estimate
    if goal.metric == "serve_memory_gb":
        weights = sum(p.untyped_storage().nbytes() for p in base.model.parameters()) / 1e9
        possible = goal.rises or goal.holds(weights)
        return GoalPlan(
            goal,
            Prospect.LATER if possible else Prospect.IMPOSSIBLE,
            f"the base's weights alone take {weights:.3g} GB",
        )
    values = {
        # Of a process that trains its libraries are measured too.
        "train_memory_gb": estimate.memory.plus(resources.idle).times(1e-9),
        "train_hours": estimate.whole.times(1 / 3600),
        "adapter_mb": Range(*[4 * estimate.trained / 1e6] * 3),
    }[goal.metric]
    low, expected, high = values
    reason = f"expected {expected:.3g} ({low:.3g} to {high:.3g}), {estimate.source}"
    if goal.holds(low) and goal.holds(high):
        return GoalPlan(goal, Prospect.EXPECTED, reason)
    if not goal.holds(low) and not goal.holds(high):
        return GoalPlan(goal, Prospect.IMPOSSIBLE, f"{reason}; see the knobs")
    return GoalPlan(goal, Prospect.LATER, f"{reason}; training has to tell")
