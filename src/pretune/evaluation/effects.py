"""What a change of the training rows does: trained with it and without, over the same rows."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from pretune.core.records import Prediction
from pretune.evaluation.compare import Difference, Verdict, compare_repeated
from pretune.evaluation.metrics import get_metrics

COLUMNS = {
    "rows": True,
    "operators": False,
    "variants": True,
    "without": True,
    "with": True,
    "difference": True,
    "95 % interval": True,
    "p": True,
    "verdict": False,
    "s": True,
}
"""Columns of the table, and whether they hold numbers."""


class Impact(StrEnum):
    """What the change does to the first metric."""

    GAINS = "gains"
    LOSES = "loses"
    UNDECIDED = "cannot tell"
    NOTHING = "nothing to vary"


@dataclass(frozen=True, slots=True)
class Effect:
    """Trainings on ``rows`` seed rows with variants by ``operators`` against those without, one of
    each a seed, all of ``steps`` steps.

    ``variants`` counts the varied rows of each seed. ``differences`` holds each metric over all
    seeds, ``by_seed`` the first metric's values without and with, seed by seed. ``seconds`` is the
    wall time of the trainings with variants, their measuring included.
    """

    rows: int
    operators: str
    variants: tuple[int, ...]
    steps: int
    differences: tuple[Difference, ...]
    by_seed: tuple[tuple[float, float], ...]
    seconds: float

    @property
    def impact(self) -> Impact:
        """``gains`` and ``loses`` only where interval and p value agree on a difference, and no
        seed says the opposite."""
        if not any(self.variants):
            return Impact.NOTHING
        sides = {_sign(after - before) for before, after in self.by_seed}
        main = self.differences[0]
        if main.verdict is Verdict.UNDECIDED or -_sign(main.delta.value) in sides:
            return Impact.UNDECIDED
        return Impact.GAINS if main.verdict is Verdict.BETTER else Impact.LOSES

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "impact": str(self.impact)}


def effect_of(
    rows: int,
    operators: str,
    runs: Sequence[tuple[Sequence[Prediction], Sequence[Prediction]]],
    metrics: Sequence[str],
    *,
    variants: Sequence[int],
    steps: int,
    seconds: float,
) -> Effect:
    """Measure the effect from each seed's answers without and with variants.

    Raises:
        DataError: as :func:`pretune.evaluation.compare.compare_repeated`.
    """
    (main,) = get_metrics(metrics[:1])
    return Effect(
        rows=rows,
        operators=operators,
        variants=tuple(variants),
        steps=steps,
        differences=compare_repeated(runs, metrics),
        by_seed=tuple((main.corpus(before), main.corpus(after)) for before, after in runs),
        seconds=seconds,
    )


def effects_markdown(title: str, notes: Sequence[str], effects: Sequence[Effect]) -> str:
    """The table of ``effects`` under ``notes``."""
    lines = [f"# {title}", "", *(f"- {note}" for note in notes), ""]
    marks = ["---:" if right else "---" for right in COLUMNS.values()]
    lines += [f"| {' | '.join(COLUMNS)} |", f"| {' | '.join(marks)} |"]
    lines += [f"| {' | '.join(effect_cells(one))} |" for one in effects]
    return "\n".join(lines) + "\n"


def effect_cells(effect: Effect) -> list[str]:
    """One line of a table: the first metric over all seeds."""
    main = effect.differences[0]
    varied = effect.impact is not Impact.NOTHING
    return [
        f"{effect.rows:,}",
        effect.operators,
        " ".join(f"{count:,}" for count in effect.variants),
        f"{main.first:.3f}",
        f"{main.second:.3f}" if varied else "",
        f"{main.delta.value:+.3f}" if varied else "",
        f"{main.delta.low:+.3f} to {main.delta.high:+.3f}" if varied else "",
        f"{main.p:.3f}" if varied else "",
        str(effect.impact),
        f"{effect.seconds:.0f}",
    ]


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
