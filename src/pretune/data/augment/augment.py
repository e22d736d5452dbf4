"""Augmentation: variants of a task's training rows, each naming the row it was made from."""

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from pretune.core.errors import SpecError
from pretune.core.origin import KEY, RowKind, content_id, made
from pretune.data.augment.entities import Entity
from pretune.data.augment.operator import Operator
from pretune.data.augment.rewordings import Colloquial, Synonym, Typo
from pretune.data.augment.substitution import Substitution
from pretune.data.augment.varied import Columns, Varied
from pretune.data.dataset import read_examples
from pretune.data.rejected import Rejected
from pretune.data.splits import Split
from pretune.data.template import Template
from pretune.data.workshop.draft import Draft, write_rows
from pretune.data.workshop.step import Step, Written
from pretune.data.workshop.tracked import Tracked, file_digests, tracked
from pretune.spec.augmenting import AugmentSpec
from pretune.spec.task import TaskSpec

OPERATORS: tuple[type[Operator], ...] = (Substitution, Synonym, Typo, Colloquial)
"""All operators."""

_TRIES = 5
"""Draws for a variant that differs from its row and from the variants before."""


def operators_of(task: TaskSpec, spec: AugmentSpec) -> dict[str, Operator]:
    """The operators by name, as ``spec`` wants them for ``task``."""
    kinds = [Entity(name) for name in spec.entities or Entity]
    if spec.entities is None and task.labels is not None:
        kinds = [kind for kind in kinds if kind not in (Entity.AMOUNT, Entity.DATE)]
    found: tuple[Operator, ...] = (
        Substitution(kinds, spec.names),
        Synonym(),
        Typo(),
        Colloquial(),
    )
    return {operator.name: operator for operator in found}


def augment_rows(
    task: TaskSpec,
    out: Path,
    spec: AugmentSpec,
    *,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Written:
    """Write variants of ``task``'s training rows to ``out``; the rows themselves are not in it.

    Labels never change; free answers and annotations (lists of ``{start, end, text}``) move along.
    Validation and test rows, and rows that are variants themselves, are not varied. The same
    arguments give the same bytes, and one row is in memory at a time.

    Raises:
        SpecError: a chat task, whose turns no operator knows how to vary.
        DataError: a file that cannot be read.
        BusyError: see :func:`pretune.data.workshop.draft.write_rows`.
    """
    if task.template.messages is not None:
        raise SpecError(
            f'task "{task.name}" has chat messages, which no operator varies; '
            "write its template as segments"
        )
    operators, columns = operators_of(task, spec), Columns.of(task)
    chains = [[operators[name] for name in chain.split("+")] for chain in spec.operators]
    paths = [source for source in task.data.train if isinstance(source, Path)]
    names = [] if spec.names is None else [spec.names]
    settings = {**spec.model_dump(mode="json", exclude={"names"}), "task": task.digest()}
    step = Step("augment", "+".join(spec.operators), settings, file_digests([*paths, *names]))

    def work(draft: Draft) -> None:
        for number, (split, row, example) in enumerate(read_examples(task, Template(task))):
            if number < draft.units:
                continue
            if row is not None and not isinstance(example, Rejected) and split is Split.TRAIN:
                vary(draft, tracked(row))
            draft.end_unit()
            if progress is not None:
                progress(1)

    def vary(draft: Draft, found: Tracked | Rejected) -> None:
        if isinstance(found, Rejected) or found.origin.kind is RowKind.AUGMENTED:
            draft.count("not varied: a variant itself, or a broken origin")
            return
        fields = {name: value for name, value in found.row.fields.items() if name != KEY}
        seen = {content_id(fields)}
        for k in range(spec.per_row):
            named = spec.operators[k % len(chains)]
            rng = Random(f"{spec.seed}/{found.origin.id}/{k}")
            variant = _variant(fields, columns, chains[k % len(chains)], rng, seen)
            if variant is None:
                draft.count(f"{named}: nothing to change")
                continue
            recipe = f"{named}@{step.stamp.rpartition('@')[2]}"
            draft.write("rows", made(variant, RowKind.AUGMENTED, "augment", recipe, found.origin))
            draft.count(named)

    return write_rows(step, {"rows": out}, work, overwrite=overwrite)


def _variant(
    fields: Mapping[str, Any],
    columns: Columns,
    chain: list[Operator],
    rng: Random,
    seen: set[str],
) -> dict[str, Any] | None:
    """``fields`` under all operators of ``chain`` that find something to change; different from
    what was ``seen``, to which it is added."""
    for _ in range(_TRIES):
        varied = dict(fields)
        for operator in chain:
            varied = dict(operator.vary(Varied(varied, columns), rng) or varied)
        own = content_id(varied)
        if own not in seen:
            seen.add(own)
            return varied
    return None
