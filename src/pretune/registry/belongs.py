"""Whether evidence is a version's own."""

from pretune.core.digest import SHORT
from pretune.core.errors import GoalMissed
from pretune.gating.evidence import Evidence, Subject
from pretune.registry.version import Version


def subject_of(version: Version) -> Subject:
    """What a gate of ``version`` gates."""
    return Subject(version.task, version.adapter, version.base, version.task_spec.digest())


def check_is_of(evidence: Evidence, version: Version) -> None:
    """Refuse evidence that speaks of something else, or is silent on a goal.

    Raises:
        GoalMissed: names what differs.
    """
    found, wanted = evidence.subject, subject_of(version)
    differs = [
        f'{name} "{one[:SHORT]}", not "{other[:SHORT]}"'
        for name, one, other in zip(Subject._fields, found, wanted, strict=True)
        if one != other
    ]
    if differs:
        raise GoalMissed(
            f"the evidence is not of version {version.digest[:SHORT]}: {'; '.join(differs)}; gate "
            "this version, or add the run under the task file that was gated: pretune tasks add "
            "RUN --task TASK.yaml"
        )
    checked = {one.name for one in evidence.checks}
    silent = [str(goal) for goal in version.task_spec.goals if str(goal) not in checked]
    if silent:
        listed = ", ".join(f'"{goal}"' for goal in silent)
        raise GoalMissed(f"the evidence says nothing of the goal {listed}; run the gate again")
