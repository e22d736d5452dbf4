"""Goals on sizes and times of training, against the estimate."""

from pretune.adapters.registry import build_method
from pretune.bases import Base
from pretune.planning.plan import GoalPlan, Prospect, Resources
from pretune.spec.goals import Goal
from pretune.spec.methods import AnyMethod, FullConfig
from pretune.spec.task import TaskSpec
from pretune.training.estimate.calibrate import Range

_HEADER = 200
"""Most bytes that a file of weights says of each: its name, shape and place."""

_WAYS = {
    "train_memory_gb": "a smaller micro_batch_size, gradient_checkpointing or a smaller base helps",
    "train_hours": "fewer epochs or evaluations, or a smaller base helps",
    "adapter_mb": "a lower rank, fewer sites or another method helps",
}
"""What to do where a goal cannot be met; knobs are shown only where a training does not fit."""


def cannot_be_probed(goal: Goal, task: TaskSpec) -> str | None:
    """Why no gate can measure what ``goal`` asks of ``task``; ``None`` where one can."""
    if goal.metric == "ece" and task.labels is None:
        return "only labels have probabilities that can be held against what is right"
    return None


def adapter_bytes(base: Base, method: AnyMethod) -> Range:
    """The size of an adapter's file: of what is kept of the trained weights, and of its header."""
    weights = (
        list(base.model.parameters())
        if isinstance(method, FullConfig)
        else list(build_method(method).saved(base.anatomy).values())
    )
    size = float(sum(one.numel() * one.element_size() for one in weights))
    return Range(size, size, size + _HEADER * len(weights))


def prospect_of(goal: Goal, resources: Resources, base: Base, method: AnyMethod) -> GoalPlan:
    """What the estimate says of ``goal``: of training's memory and time, of the size of an adapter
    of ``method``; of a server's memory only what the weights take of it."""
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
        "adapter_mb": adapter_bytes(base, method).times(1e-6),
    }[goal.metric]
    low, expected, high = values
    reason = f"expected {expected:.3g} ({low:.3g} to {high:.3g}), {estimate.source}"
    if goal.holds(low) and goal.holds(high):
        return GoalPlan(goal, Prospect.EXPECTED, reason)
    if not goal.holds(low) and not goal.holds(high):
        return GoalPlan(goal, Prospect.IMPOSSIBLE, f"{reason}; {_WAYS[goal.metric]}")
    return GoalPlan(goal, Prospect.LATER, f"{reason}; training has to tell")
