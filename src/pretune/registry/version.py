"""A version: one adapter with the spec it is asked through, and where both come from."""

from functools import cached_property
from typing import Any

from pydantic import Field

from pretune.core.digest import of_json
from pretune.core.promise import Promise
from pretune.evaluation.intervals import Interval
from pretune.spec.model import Strict
from pretune.spec.task import TaskSpec, parse_task

FORMAT = 1
"""Version of the fields of records and states."""


class Version(Strict):
    """Immutable. ``adapter``, ``base``, ``data`` and ``trained_spec`` are digests: of the adapter,
    the base it acts on, the rows it learned from and the spec it was trained under. ``privacy`` is
    what its training promises of any one row; a private adapter keeps no digest of its rows.

    ``spec`` is what :func:`pretune.spec.dump.task_value` says of the task. ``metrics`` are those
    of the test rows, ``validation`` those that chose the adapter; ``run`` and ``created`` (UTC) say
    where and when it was registered and are no part of what it is.
    """

    format: int = FORMAT
    task: str
    spec: dict[str, Any]
    adapter: str
    base: str
    data: str | None = None
    trained_spec: str | None = None
    # Left out where there is none: records without it keep their digest.
    privacy: Promise | None = Field(None, exclude_if=lambda one: one is None)
    metrics: dict[str, Interval] = Field(default_factory=dict)
    validation: dict[str, float] = Field(default_factory=dict)
    run: str
    created: str

    @cached_property
    def task_spec(self) -> TaskSpec:
        """How the task asks, what it promises.

        Raises:
            SpecError: not the spec of a task, or not one that this version of pretune knows.
        """
        return parse_task(self.spec, name=self.task)

    @cached_property
    def digest(self) -> str:
        """The version's name: the same adapter under another spec, or measured anew, is another
        version."""
        value = self.model_dump(mode="json", exclude={"run", "created", "spec"})
        return of_json({**value, "spec": self.task_spec.digest()})
