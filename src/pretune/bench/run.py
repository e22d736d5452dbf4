"""Run measures one after the other, and say what came of all."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pretune.bench.figures import TARGETS, Figure
from pretune.bench.machine import describe
from pretune.bench.measures import Measure
from pretune.bench.stand import Stand
from pretune.bench.work import Work
from pretune.core.errors import PretuneError
from pretune.core.names import unknown

Watch = Callable[[str, float], None]
"""Told, by measure, which share of it is done."""


@dataclass
class Results:
    """All figures of a run, the machine, and the seconds it took."""

    work: Work
    machine: Mapping[str, Any]
    figures: list[Figure] = field(default_factory=list)
    seconds: float = 0.0

    def record(self) -> dict[str, Any]:
        """As JSON values: each promised figure under its own name, ``null`` with a reason where it
        was not measured; then everything about them."""
        by_name = {figure.name: figure for figure in self.figures}
        names = [*TARGETS, *(name for name in by_name if name not in TARGETS)]
        values = {name: by_name[name].value if name in by_name else None for name in names}
        return {
            **values,
            "reasons": {
                name: by_name[name].reason if name in by_name else "not asked for"
                for name, value in values.items()
                if value is None
            },
            "targets": {name: str(target) for name, target in TARGETS.items()},
            "met": {figure.name: figure.met for figure in self.figures},
            "spread": {
                figure.name: [figure.low, figure.high]
                for figure in self.figures
                if figure.value is not None
            },
            "details": {figure.name: dict(figure.details) for figure in self.figures},
            "work": asdict(self.work),
            "machine": dict(self.machine),
            "seconds": round(self.seconds, 1),
        }


def chosen(known: Mapping[str, Measure], names: Collection[str]) -> dict[str, Measure]:
    """The measures that ``names`` mean, each its own name or that of a figure; all if none.

    Raises:
        UnknownName: neither a measure nor a figure.
    """
    figures = {figure: name for name, measure in known.items() for figure in measure.figures}
    meant = {name if name in known else figures.get(name, "") for name in names}
    if "" in meant:
        wrong = next(name for name in names if name not in known and name not in figures)
        raise unknown("figure", wrong, [*known, *figures])
    return {name: measure for name, measure in known.items() if not names or name in meant}


def run(
    work: Work,
    selected: Mapping[str, Measure],
    watch: Watch,
    device: str = "cpu",
    keep: Callable[[Results], None] = lambda _: None,
) -> Results:
    """Measure on ``device``. A measure that fails leaves its figures without a value and with the
    reason. What is there after each measure is given to ``keep``: all of them take long."""
    began = time.perf_counter()
    results = Results(work, describe() | {"device": device})
    stand = Stand(work, device)
    order = list(TARGETS)
    for name, measure in selected.items():
        results.figures += _measured(stand, name, measure, watch)
        results.figures.sort(key=lambda f: order.index(f.name) if f.name in order else len(order))
        results.seconds = time.perf_counter() - began
        keep(results)
        watch(name, 1.0)
    return results


def _measured(stand: Stand, name: str, measure: Measure, watch: Watch) -> Sequence[Figure]:
    try:
        return measure.run(stand, lambda share: watch(name, share))
    except PretuneError as error:
        return [Figure.absent(figure, str(error)) for figure in measure.figures]
