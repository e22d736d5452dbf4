"""Knobs: changes of a task file that save memory, and what each one saves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pretune.core.errors import PretuneError
from pretune.core.scope import Scope
from pretune.spec.methods import FullConfig, LoraConfig
from pretune.training.estimate.estimate import Course, Estimate, Estimator
from pretune.training.estimate.work import Lengths, Work

_SHARE_KEPT = 0.95
"""Share of rows that a shorter ``max_length`` still holds whole."""


@dataclass(frozen=True, slots=True)
class Knob:
    """A change of ``key``, as the task file says it, the work after it, what it costs beside
    memory, and how many times as many steps there are then."""

    key: str
    change: str
    work: Work
    price: str
    steps: float = 1.0


@dataclass(frozen=True, slots=True)
class Turned:
    """A knob and what comes of it: bytes that it saves, and the estimate then."""

    change: str
    price: str
    saved: float
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class WayOut:
    """Each knob by itself, the most useful first; and the fewest of them, gentle ones first, that
    fit together (``None``: not even all of them)."""

    knobs: tuple[Turned, ...]
    together: tuple[str, ...] | None
    estimate: Estimate | None


def knobs(work: Work, lengths: Sequence[int]) -> Iterator[Knob]:
    """Changes of ``work`` that may save memory, those that change the result least first.

    ``lengths`` are the tokens of all training rows.
    """
    train = work.train
    if work.piece > 1:
        half = max(1, work.piece // 2)
        yield Knob(
            "micro_batch_size",
            f"train: {{micro_batch_size: {half}}}",
            work.changed(train=train.model_copy(update={"micro_batch_size": half})),
            "the same result, in more passes",
        )
    if not train.gradient_checkpointing:
        yield Knob(
            "gradient_checkpointing",
            "train: {gradient_checkpointing: true}",
            work.changed(train=train.model_copy(update={"gradient_checkpointing": True})),
            "the same result, a second forward pass",
        )
    if train.precision == "fp32" and work.base.precision == "fp32":
        yield Knob(
            "precision",
            "train: {precision: bf16}",
            work.changed(train=train.model_copy(update={"precision": "bf16"})),
            "products are rounded",
        )
    order = ["fp32", "bf16", "nf4"]
    for precision in order[order.index(work.base.precision) + 1 :]:
        if precision == "nf4" and isinstance(work.method, FullConfig):
            continue
        yield Knob(
            "base",
            f"base: {{precision: {precision}}}",
            work.changed(base=work.base.model_copy(update={"precision": precision})),
            "another base to the adapter: weights are rounded",
        )
    if isinstance(work.method, FullConfig):
        yield Knob(
            "method",
            "method: lora",
            work.changed(method=LoraConfig(), scope=Scope.PROMPT),
            "fewer trained weights",
        )
    yield from _shorter(work, lengths)
    if work.batch > 1:
        half = work.batch // 2
        yield Knob(
            "batch_size",
            f"train: {{batch_size: {half}}}",
            work.changed(
                rows=work.rows[:half], train=train.model_copy(update={"batch_size": half})
            ),
            "more steps of fewer rows",
            work.batch / half,
        )


def _shorter(work: Work, lengths: Sequence[int]) -> Iterator[Knob]:
    if not lengths:
        return
    most = sorted(lengths)[min(len(lengths) - 1, int(len(lengths) * _SHARE_KEPT))]
    longest = max(sum(count for _, count in row) for row in work.rows)
    if most >= longest:
        return
    yield Knob(
        "max_length",
        f"train: {{max_length: {most}}}",
        work.changed(rows=tuple(_cut(row, most) for row in work.rows)),
        f"{1 - _SHARE_KEPT:.0%} of the rows lose context or are left out",
    )


def _cut(row: Lengths, most: int) -> Lengths:
    """The row with its longest part cut until ``most`` tokens are left."""
    surplus = sum(count for _, count in row) - most
    if surplus <= 0:
        return row
    longest = max(range(len(row)), key=lambda i: row[i][1])
    return tuple(
        (role, max(1, count - surplus) if i == longest else count)
        for i, (role, count) in enumerate(row)
    )


def way_out(
    estimator: Estimator, work: Work, course: Course, lengths: Sequence[int], room: float
) -> WayOut:
    """What each knob saves, and which together bring the high end of the estimate under ``room``
    bytes."""
    before = estimator.estimate(work, course)
    turned = []
    for knob in knobs(work, lengths):
        after = _tried(estimator, knob, course)
        if after is not None and after.memory.expected < before.memory.expected:
            saved = before.memory.expected - after.memory.expected
            turned.append(Turned(knob.change, knob.price, saved, after))
    turned.sort(key=lambda one: -one.saved)
    together: dict[str, str] = {}
    now, known = work, before
    useful = {one.change for one in turned}
    while known.memory.high > room:
        step = _next(estimator, now, course, lengths, known, useful if now is work else None)
        if step is None:
            return WayOut(tuple(turned), None, None)
        knob, known = step
        now, course = knob.work, _longer(course, knob)
        together[knob.key] = knob.change
    return WayOut(tuple(turned), tuple(together.values()), known)


def _next(
    estimator: Estimator,
    work: Work,
    course: Course,
    lengths: Sequence[int],
    known: Estimate,
    useful: set[str] | None,
) -> tuple[Knob, Estimate] | None:
    """The gentlest knob that saves a tenth or more; else the one that saves anything."""
    best: tuple[Knob, Estimate] | None = None
    for knob in knobs(work, lengths):
        if useful is not None and knob.change not in useful:
            continue
        after = _tried(estimator, knob, course)
        if after is None or after.memory.expected >= known.memory.expected:
            continue
        if after.memory.expected < 0.9 * known.memory.expected:
            return knob, after
        best = best or (knob, after)
    return best


def _longer(course: Course, knob: Knob) -> Course:
    return replace(course, steps=round(course.steps * knob.steps))


def _tried(estimator: Estimator, knob: Knob, course: Course) -> Estimate | None:
    """``None`` where the base or the method refuses it."""
    try:
        return estimator.estimate(knob.work, _longer(course, knob))
    except PretuneError:
        return None
