"""What a registry holds, as JSON values: for commands and for administrators."""

from typing import Any

from pretune.core.errors import PretuneError
from pretune.registry.state import TaskState
from pretune.registry.store import Registry


def summary(registry: Registry, name: str) -> dict[str, Any]:
    """Where a task stands; ``problem`` says what cannot be read."""
    try:
        return standing(registry.task(name))
    except PretuneError as error:
        return {"task": name, "problem": str(error)}


def standing(state: TaskState) -> dict[str, Any]:
    """Where a task stands, from its state."""
    return {
        "task": state.task,
        "current": state.current,
        "previous": state.previous,
        "canary": state.canary._asdict() if state.canary else None,
        "shadow": state.shadow,
        "changed": state.history[-1].at if state.history else None,
    }


def describe(registry: Registry, name: str) -> dict[str, Any]:
    """Where a task stands, its versions with their lineage, and its history.

    Raises:
        UnknownName: no such task.
        StorageError: its file is damaged.
    """
    state = registry.task(name)
    return {
        **standing(state),
        "versions": [_lineage(registry, state, digest) for digest in registry.versions(state)],
        "history": [entry.model_dump(mode="json", exclude_none=True) for entry in state.history],
    }


def _lineage(registry: Registry, state: TaskState, digest: str) -> dict[str, Any]:
    try:
        version = registry.version(digest)
        spec = version.task_spec.digest()
    except PretuneError as error:
        return {"version": digest, "problem": str(error)}
    value = version.model_dump(mode="json", exclude={"format", "task", "spec"})
    gated = state.gates.get(digest)
    return {"version": digest, "spec": spec, "gate": gated and gated._asdict(), **value}
