"""Evidence of gates: whether it is a version's own, and whether it lets the version answer."""

from pretune.core.digest import SHORT
from pretune.core.errors import GoalMissed
from pretune.gating.evidence import Evidence, Subject, Verdict
from pretune.registry.files import RegistryFiles
from pretune.registry.state import TaskState
from pretune.registry.version import Version


def subject_of(version: Version) -> Subject:
    """What a gate of ``version`` gates."""
    return Subject(version.task, version.adapter, version.base, version.task_spec.digest())


def check_is_of(files: RegistryFiles, evidence: Evidence, version: Version) -> None:
    """Refuse evidence that speaks of something else than ``version`` of the registry of ``files``,
    or is silent on a goal.

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
            f'RUN --task TASK.yaml --registry "{files.root}"'
        )
    checked = {one.name for one in evidence.checks}
    silent = [str(goal) for goal in version.task_spec.goals if str(goal) not in checked]
    if silent:
        listed = ", ".join(f'"{goal}"' for goal in silent)
        raise GoalMissed(f"the evidence says nothing of the goal {listed}; run the gate again")


def passing(files: RegistryFiles, state: TaskState, version: Version) -> str | None:
    """The evidence that lets ``version`` answer; ``None`` where none is needed.

    Raises:
        GoalMissed: its gate did not pass, was of another time, or never was; says what to do.
        StorageError: the evidence is damaged.
    """
    short, gated = version.digest[:SHORT], state.gates.get(version.digest)
    ways = (
        f'run: pretune gate TASK.yaml {short} --registry "{files.root}", or promote it by an '
        'override, whose reason is kept: --override "REASON"'
    )
    if gated is None:
        if not version.task_spec.goals:
            return None
        raise GoalMissed(
            f'version {short} was not gated, and task "{state.task}" has goals; {ways}'
        )
    found = files.read_evidence(gated.evidence)
    check_is_of(files, found, version)
    if found.verdict is not Verdict.PASS:
        listed = "; ".join(f"{one.name}: {one.outcome} ({one.reason})" for one in found.against)
        raise GoalMissed(
            f"the gate of version {short} says {found.verdict}: {listed}; promote a better one; or "
            f"{ways}"
        )
    if found.current != state.current:
        then, today = ((one or "none")[:SHORT] for one in (found.current, state.current))
        raise GoalMissed(
            f"the gate of version {short} compared it with version {then}, and {today} answers "
            f"now; {ways}"
        )
    return gated.evidence
