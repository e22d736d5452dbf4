"""Slices: rows of a task that have some values in some columns."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pretune.core.errors import SpecError
from pretune.core.names import unknown
from pretune.data.dataset import read_examples
from pretune.data.rejected import Rejected
from pretune.data.template import Template, plain
from pretune.spec.goals import Goal
from pretune.spec.task import TaskSpec

SliceKey = tuple[tuple[str, str], ...]
"""Columns and their values, in the goal's order."""


@dataclass(frozen=True, slots=True)
class Slices:
    """Ids of the rows of each slice, over all splits."""

    members: Mapping[SliceKey, frozenset[str]]

    def rows(self, goal: Goal) -> frozenset[str] | None:
        """Ids of the rows that ``goal`` is about; ``None``: all."""
        return None if goal.slice is None else self.members[_key(goal)]


def slices_of(task: TaskSpec) -> Slices:
    """The slices that the goals of ``task`` name; its files are read only if there are any.

    Raises:
        UnknownName: a column that no row has; names the nearest one.
        SpecError: a slice without rows.
        DataError: a file that cannot be read.
    """
    wanted = {_key(goal): goal for goal in task.goals if goal.slice}
    if not wanted:
        return Slices({})
    found: dict[SliceKey, set[str]] = {key: set() for key in wanted}
    columns: Counter[str] = Counter()
    for _, row, example in read_examples(task, Template(task)):
        if row is None:
            continue
        columns.update(row.fields.keys())
        if isinstance(example, Rejected):
            continue
        for key, ids in found.items():
            if all(plain(row.fields.get(column)).strip() == value for column, value in key):
                ids.add(row.id)
    for key, goal in wanted.items():
        _check_columns(key, columns)
        if not found[key]:
            raise SpecError(
                f'goal "{goal}": none of the rows has {_said(key)}; check the value, or add such '
                "rows to the data"
            )
    return Slices({key: frozenset(ids) for key, ids in found.items()})


def _key(goal: Goal) -> SliceKey:
    return tuple((goal.slice or {}).items())


def _check_columns(key: SliceKey, columns: Iterable[str]) -> None:
    for column, _ in key:
        if column not in columns:
            raise unknown("column", column, columns)


def _said(key: SliceKey) -> str:
    return " and ".join(f'"{value}" in column "{column}"' for column, value in key)
