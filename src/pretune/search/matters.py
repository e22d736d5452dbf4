"""What mattered in a search, and by how much.

Two views, as one alone would mislead. *Importance* is the share that a knob has in telling good
trials from all (PED-ANOVA, Watanabe et al. 2023, arXiv 2304.10255), by every trial's first
measurement: those stopped early count too, and all had trained equally long. *Difference* is the
winner against the best finished trial of another value, paired over the validation rows: how much
one would lose.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

import numpy as np

from pretune.core.errors import DataError
from pretune.core.records import Prediction
from pretune.evaluation.compare import Difference, compare
from pretune.evaluation.intervals import percentiles
from pretune.search.records import Fate, Trial

FEWEST = 12
"""Measured trials from which importance is reckoned at all."""

_GOOD = 0.25
"""Share of the trials that count as good, and at least five."""

_RESAMPLES = 100

Answers = Callable[[Trial], Sequence[Prediction]]
"""The validation answers of a finished trial."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a knob: trials measured with it, their mean first measurement, and the best
    finished one's number and value."""

    value: str
    trials: int
    first: float
    best: int | None
    best_value: float | None


@dataclass(frozen=True, slots=True)
class Knob:
    """``best`` is the winner's value, ``None`` where its method has no such knob. ``importance``
    with ``low`` to ``high`` (95 %, trials resampled) is ``None`` where too few trials can tell.
    ``difference`` is the winner against ``other``, the best trial of another value."""

    name: str
    best: str | None
    choices: tuple[Choice, ...]
    importance: float | None
    low: float | None
    high: float | None
    other: int | None
    difference: Difference | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def what_mattered(
    trials: Sequence[Trial],
    best: Trial,
    metric: str,
    answers: Answers,
    *,
    higher_is_better: bool,
) -> tuple[Knob, ...]:
    """Every knob that took several values, the most important first."""
    measured = [one for one in trials if one.marks]
    names = dict.fromkeys(name for one in measured for name in one.knobs)
    values = {
        name: dict.fromkeys(_value(one, name, measured) for one in measured) for name in names
    }
    varied = [name for name in names if len([v for v in values[name] if v is not None]) > 1]
    weights = _importance(measured, varied, higher_is_better)
    knobs = [
        _knob(name, measured, best, metric, answers, weights, higher_is_better) for name in varied
    ]
    return tuple(sorted(knobs, key=lambda knob: -(knob.importance or 0.0)))


def _value(trial: Trial, name: str, measured: Sequence[Trial]) -> str | None:
    """A knob's value as one of a few: a rate as the third of the range that it lies in."""
    value = trial.knobs.get(name)
    if not isinstance(value, float):
        return value
    low, high = _ends(name, measured)
    if low == high:
        return f"x{low:.3g}"
    third = min(2, int(3 * np.log(value / low) / np.log(high / low)))
    ends = [low * (high / low) ** (part / 3) for part in (third, third + 1)]
    return f"x{ends[0]:.2g} to x{ends[1]:.2g}"


def _ends(name: str, measured: Sequence[Trial]) -> tuple[float, float]:
    found = [one.knobs[name] for one in measured if name in one.knobs]
    rates = [value for value in found if isinstance(value, float)]
    return min(rates), max(rates)


def _knob(
    name: str,
    measured: Sequence[Trial],
    best: Trial,
    metric: str,
    answers: Answers,
    weights: Mapping[str, tuple[float, float, float]],
    rises: bool,
) -> Knob:
    by_value: dict[str, list[Trial]] = {}
    for one in measured:
        if (value := _value(one, name, measured)) is not None:
            by_value.setdefault(value, []).append(one)
    choices = []
    for value, group in sorted(by_value.items()):
        top = _best([one for one in group if one.fate is Fate.FINISHED], rises)
        choices.append(
            Choice(
                value,
                len(group),
                mean(one.marks[0].value for one in group),
                top.number if top else None,
                top.value if top else None,
            )
        )
    own = _value(best, name, measured)
    others = [one for v, group in by_value.items() if v != own for one in group]
    other = _best([one for one in others if one.fate is Fate.FINISHED], rises)
    importance, low, high = weights.get(name, (None, None, None))
    return Knob(
        name,
        own,
        tuple(choices),
        importance,
        low,
        high,
        None if other is None else other.number,
        None if other is None or own is None else difference(answers(other), answers(best), metric),
    )


def _best(trials: Sequence[Trial], rises: bool) -> Trial | None:
    sign = 1 if rises else -1
    return max(trials, key=lambda one: sign * (one.value or 0.0), default=None)


def difference(
    first: Sequence[Prediction], second: Sequence[Prediction], metric: str
) -> Difference | None:
    """The second run against the first; ``None`` where they do not answer the same rows, as where
    virtual tokens took the room of one."""
    try:
        (found,) = compare(first, second, [metric])
    except DataError:
        return None
    return found


def _importance(
    measured: Sequence[Trial], names: Sequence[str], rises: bool
) -> dict[str, tuple[float, float, float]]:
    """Importance with its interval by knob; nothing from too few trials."""
    if len(measured) < FEWEST or not names:
        return {}
    whole = _ped_anova(measured, names, rises)
    if not any(whole.values()):
        return {}  # the first measurements do not differ
    draw = np.random.default_rng(0)
    drawn: list[dict[str, float]] = []
    for _ in range(_RESAMPLES):
        places = draw.integers(len(measured), size=len(measured))
        drawn.append(_ped_anova([measured[i] for i in places], names, rises))
    found = {}
    for name in names:
        low, high = percentiles(np.array([one.get(name, 0.0) for one in drawn]))
        value = whole.get(name, 0.0)
        found[name] = value, min(low, value), max(high, value)
    return found


def _ped_anova(trials: Sequence[Trial], names: Sequence[str], rises: bool) -> dict[str, float]:
    import optuna

    spaces: dict[str, optuna.distributions.BaseDistribution] = {}
    for name in names:
        found = [one.knobs[name] for one in trials if name in one.knobs]
        rates = [value for value in found if isinstance(value, float)]
        if rates and min(rates) < max(rates):
            spaces[name] = optuna.distributions.FloatDistribution(min(rates), max(rates), log=True)
        elif len(set(found)) > 1 and not rates:
            spaces[name] = optuna.distributions.CategoricalDistribution(tuple(dict.fromkeys(found)))
    if len({one.marks[0].value for one in trials}) < 2 or not spaces:
        return {}
    study = optuna.create_study(direction="maximize" if rises else "minimize")
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={name: one.knobs[name] for name in spaces if name in one.knobs},
                distributions={name: spaces[name] for name in spaces if name in one.knobs},
                value=one.marks[0].value,
            )
            for one in trials
        ]
    )
    good = min(1.0, max(_GOOD, 5 / len(trials)))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=good)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that few trials are few is said in the report
        return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))
