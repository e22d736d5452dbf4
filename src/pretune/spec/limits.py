"""A server's limits file: what each API key and each task may ask for."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from pretune.spec.model import Strict
from pretune.spec.problems import spec_error
from pretune.spec.yamlfile import read_mapping

KeyHash = Annotated[str, StringConstraints(pattern="^[0-9a-f]{8,64}$")]


class Limit(Strict):
    """How much may come, and be under way. Each answer counts: ``n`` of every prompt."""

    per_second: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="answers asked for a second, on average"
    )
    burst: int | None = Field(
        None, ge=1, description="answers asked for at once; default: a second's worth"
    )
    under_way: int | None = Field(None, ge=1, description="answers waited for at a time")

    @model_validator(mode="after")
    def _burst_has_a_rate(self) -> Self:
        if self.burst is not None and self.per_second is None:
            raise ValueError(f'burst "{self.burst}" has no rate to exceed; give per_second too')
        return self

    @property
    def at_once(self) -> int:
        """What ``burst`` is where it is not given."""
        return self.burst or max(1, round(self.per_second or 0))


class TaskLimit(Limit):
    """The same for a task, and its share where tasks wait for each other."""

    weight: float = Field(
        1.0, gt=0, le=1000, description="share of the engine, relative to that of other tasks"
    )


class LimitsSpec(Strict):
    """What is not given is not limited. A named key or task has its own limit, not that of each."""

    each_key: Limit = Field(Limit(), description="of every API key by itself")
    keys: dict[KeyHash, Limit] = Field(
        {}, description="by the beginning of the key's line in the key file, in quotes"
    )
    each_task: TaskLimit = Field(TaskLimit(), description="of every task by itself")
    tasks: dict[str, TaskLimit] = Field({}, description="by the task's name")

    def of_key(self, key: str) -> Limit:
        """The limit of the API key with this hash: that of the longest beginning that is named."""
        own = max((start for start in self.keys if key.startswith(start)), key=len, default="")
        return self.keys.get(own, self.each_key)

    def of_task(self, name: str) -> TaskLimit:
        """The limit of a task."""
        return self.tasks.get(name, self.each_task)


def load_limits(path: Path) -> LimitsSpec:
    """Read the limits file ``path``.

    Raises:
        SpecError: a missing, unreadable or broken file, or any problem with what it says.
    """
    value = read_mapping(path, "limits file", ("each_key", "tasks"))
    try:
        return LimitsSpec.model_validate(value)
    except ValidationError as error:
        raise spec_error(error, f'"{path}"') from error
