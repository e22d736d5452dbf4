"""Rows of trials: seed rows of a task, their variants, and the rows that all are measured on."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pretune.core.digest import of_bytes
from pretune.core.errors import DataError
from pretune.core.origin import RowKind, content_id
from pretune.core.records import TokenExample
from pretune.data.dataset import TaskData, read_examples
from pretune.data.rejected import Rejected
from pretune.data.splits import Split
from pretune.data.template import Template
from pretune.data.workshop.draft import Draft, write_rows
from pretune.data.workshop.lineage import read_lineage
from pretune.data.workshop.step import Step
from pretune.data.workshop.tracked import tracked
from pretune.spec.augmenting import AugmentSpec
from pretune.spec.data import DataSpec
from pretune.spec.probing import USUAL_ROWS, ProbeSpec
from pretune.spec.task import TaskSpec

Fields = Mapping[str, Any]

Vary = Callable[[TaskSpec, Path, AugmentSpec], object]
"""Writes the variants of a task's training rows to a file."""


class TrialRows:
    """Files of rows in one folder, each written once and named in the folder's lineage.

    Seed rows are drawn from the training rows that ``data`` kept, by content and seed: the first
    100 are among the first 500, and other rows of the files move none. All are measured on the same
    rows of ``test``, or of ``validation`` where the task has no test rows.
    """

    def __init__(
        self, task: TaskSpec, data: TaskData, folder: Path, spec: ProbeSpec, vary: Vary
    ) -> None:
        self.split = Split.TEST if data.test else Split.VALIDATION
        self._task, self._folder, self._spec, self._vary = task, folder, spec, vary
        self._inputs = {"rows of the task": data.digest}
        self._pool = _fields(task, Split.TRAIN, data.train)
        self._held = _fields(task, self.split, data.test or data.validation)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The numbers of seed rows asked for.

        Raises:
            DataError: more than there are.
        """
        have = len(self._pool)
        wanted = self._spec.rows or tuple(n for n in USUAL_ROWS if n <= have) or USUAL_ROWS[:1]
        if (most := max(wanted)) > have:
            raise DataError(
                f'task "{self._task.name}" has "{have}" rows to train on, and "{most}" seed rows '
                f"were asked for; ask for {have} or fewer with --rows, or add rows to data.train"
            )
        return wanted

    def held(self) -> Path:
        """The file of rows to measure on."""
        chosen = _drawn(self._held, "held", self._spec.held_rows or len(self._held))
        return self._written("held", {"split": self.split, "rows": self._spec.held_rows}, chosen)

    def seeds(self, count: int, seed: int) -> Path:
        """The file of the first ``count`` seed rows that ``seed`` draws."""
        chosen = _drawn(self._pool, str(seed), count)
        name = f"rows-{count}.seed-{seed}"
        return self._written(name, {"rows": count, "seed": seed}, chosen)

    def variants(self, count: int, seed: int, operators: str) -> Path | None:
        """The file of their variants by ``operators``, or of that name; ``None`` if operators find
        nothing to change."""
        if (added := self._spec.file(operators)) is not None:
            return added
        seeds = self.seeds(count, seed)
        path = self._folder / f"{seeds.stem}.{operators}.jsonl"
        if _rows_in(path) is None:
            self._vary(self.task_of([seeds]), path, self._spec.augment(operators, seed))
        return path if _rows_in(path) else None

    def task_of(self, train: Sequence[Path]) -> TaskSpec:
        """The task on the rows of the files ``train``, measured on the held-out rows."""
        data = DataSpec(train=tuple(train), validation=(self.held(),))
        return self._task.model_copy(update={"data": data})

    def _written(self, name: str, settings: Mapping[str, Any], rows: Iterable[Fields]) -> Path:
        path = self._folder / f"{name}.jsonl"
        if _rows_in(path) is None:

            def work(draft: Draft) -> None:
                for number, fields in enumerate(rows):
                    if number >= draft.units:
                        draft.write("rows", fields)
                        draft.end_unit()

            write_rows(Step("draw", name, settings, self._inputs), {"rows": path}, work)
        return path


def _rows_in(path: Path) -> int | None:
    """How many rows the finished file ``path`` holds, by its lineage, which is written last."""
    for line in read_lineage(path.parent):
        if path.name in line["outputs"]:
            return int(line["outputs"][path.name]["rows"])
    return None


def _fields(task: TaskSpec, split: Split, kept: Sequence[TokenExample]) -> list[Fields]:
    """The fields of the rows ``kept`` of a split, but for those that are variants already."""
    wanted = {example.row_id for example in kept}

    def found() -> Iterator[Fields]:
        for home, row, example in read_examples(task, Template(task)):
            if row is None or isinstance(example, Rejected) or home is not split:
                continue
            known = tracked(row)
            varied = isinstance(known, Rejected) or known.origin.kind is RowKind.AUGMENTED
            if row.id in wanted and not varied:
                yield row.fields

    return list(found())


def _drawn(rows: Sequence[Fields], draw: str, count: int) -> list[Fields]:
    """The first ``count`` of ``rows`` in an order that depends on their content and ``draw``."""
    return sorted(rows, key=lambda fields: of_bytes(f"{draw}/{content_id(fields)}".encode()))[
        :count
    ]
