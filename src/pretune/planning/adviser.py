"""The adviser: method, scope, rank, rate, epochs and precision, each reckoned from evidence.

Nothing here knows an answer: change a figure and the advice changes. Where no figure bears on a
question, that is what it says.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

from pretune.core.scope import Scope
from pretune.planning.evidence import (
    Decode,
    Figure,
    Learning,
    Published,
    Quality,
    Rate,
    StepTime,
    of_kind,
)
from pretune.spec.methods import METHODS, VETTED_WIDTH, MethodConfig

LEVEL = 0.03
"""Difference of a mean from which one way counts as better; half of a usual interval here."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What advice depends on. ``tasks``: how many are to be served from one base; ``latency``: a
    goal speaks of one; ``reachable``: the base's weights can be read at all; ``fits``: methods
    whose training fits (all, if unknown); ``fast_bf16``: the device multiplies in bf16;
    ``method``: the task's own."""

    task: str
    name: str
    rows: int
    batch: int
    width: int
    tasks: int = 1
    latency: bool = False
    reachable: bool = True
    fits: frozenset[str] = frozenset(METHODS)
    fast_bf16: bool = False
    method: MethodConfig | None = None

    def config(self, name: str) -> MethodConfig:
        """The task's own configuration of the method ``name``, or its defaults."""
        own = self.method
        return own if own is not None and getattr(own, "name", "") == name else METHODS[name]()


@dataclass(frozen=True, slots=True)
class Advice:
    """``value`` for ``about`` (a key of the task file), why, and the figures behind it."""

    about: str
    value: str
    reason: str
    evidence: tuple[Figure, ...]


def advise(situation: Situation, figures: Sequence[Figure]) -> tuple[Advice, ...]:
    """Advice for ``situation`` from ``figures``, one for each question that they bear on."""
    if not situation.reachable:
        return (_unreachable(figures),)
    method = _method(situation, figures)
    chosen = method.value
    scope = _scope(situation, figures, chosen)
    questions: list[Callable[[], Advice | None]] = [
        lambda: _rank(situation, figures, chosen, scope),
        lambda: _rate(situation, figures, chosen),
        lambda: _epochs(situation, figures),
        lambda: _precision(situation, figures),
    ]
    return (method, scope, *(one for ask in questions if (one := ask()) is not None))


def _unreachable(figures: Sequence[Figure]) -> Advice:
    qualities = of_kind(figures, Quality)
    gains = [one for one in qualities if one.untuned is not None and one.scope is Scope.PROMPT]
    best = max(gains, key=lambda one: one.value - one.untuned)
    return Advice(
        "method",
        "none",
        "every method here trains against the base's weights; ask the model that cannot be reached "
        "to teach (pretune data distil), and tune a base whose weights can be read",
        (best,),
    )


def _method(situation: Situation, figures: Sequence[Figure]) -> Advice:
    allowed = situation.fits if situation.tasks == 1 else situation.fits - {"full"}
    own = [one for one in _of_task(situation, figures) if _is_own(one)]
    own = [one for one in own if one.set == situation.name and one.method in allowed]
    if len({one.method for one in own}) > 1:
        best = max(own, key=lambda one: one.value)
        return Advice("method", best.method, "the best of your own runs of this task", tuple(own))
    tried = [one for one in _of_task(situation, figures) if not _is_own(one)]
    compared = [one for one in tried if one.set in _shared_sets(tried)]
    means = {
        name: mean(one.value for one in compared if one.method == name)
        for name in dict.fromkeys(one.method for one in compared)
        if name in allowed
    }
    if len(means) < 2:
        methods = sorted({one.method for one in tried if one.method in allowed}) or ["lora"]
        return Advice(
            "method",
            methods[0],
            f"the only one measured on {situation.task} tasks; others were not compared",
            tuple(one for one in tried if one.method == methods[0]),
        )
    level = [name for name, value in means.items() if value >= max(means.values()) - LEVEL]
    # Weights cost memory to train, and a place to keep: the fewest that are level with the best.
    chosen = min(level, key=lambda name: (_weights(compared, name), -means[name]))
    listed = ", ".join(f"{name} {value:.3f}" for name, value in sorted(means.items()))
    highest = max(means, key=means.__getitem__)
    why = "the highest mean" if chosen == highest else "the fewest weights level with the best mean"
    why += f" over the sets on which all were measured: {listed}"
    if situation.tasks > 1 and "full" in situation.fits:
        why += "; full tuning is left out, as it is a base of its own for each task"
    return Advice("method", chosen, why, tuple(compared))


def _weights(qualities: Sequence[Quality], method: str) -> float:
    """The fewest that ``method`` was measured with; infinite where nobody counted them."""
    return min(one.weights or math.inf for one in qualities if one.method == method)


def _shared_sets(qualities: Sequence[Quality]) -> set[str]:
    """Sets on which the most methods were tried."""
    tried = {one.set: {o.method for o in qualities if o.set == one.set} for one in qualities}
    most = max((len(methods) for methods in tried.values()), default=0)
    return {name for name, methods in tried.items() if len(methods) == most}


def _gaps(
    situation: Situation, figures: Sequence[Figure], method: str
) -> list[tuple[float, Quality, Quality]]:
    """All tokens less prompt only, on sets where both were measured by the same method."""
    found = []
    for one in _of_task(situation, figures):
        for other in _of_task(situation, figures):
            same = (one.set, one.method, one.rank) == (other.set, other.method, other.rank)
            ways = one.scope is Scope.ALL and other.scope is Scope.PROMPT
            if same and ways and one.method == method and _is_own(one) == _is_own(other):
                found.append((one.value - other.value, one, other))
    return found


def _scope(situation: Situation, figures: Sequence[Figure], method: str) -> Advice:
    refused = METHODS[method].refused_scopes
    if Scope.PROMPT in refused:
        return Advice(
            "scope", "all", f'method "{method}" has no other: {refused[Scope.PROMPT]}', ()
        )
    if Scope.ALL in refused:
        return Advice("scope", "prompt", f'method "{method}": {refused[Scope.ALL]}', ())
    gaps = _gaps(situation, figures, method)
    steps = {one.scope: one for one in of_kind(figures, Decode)}
    known = {"all", "prompt"} <= steps.keys()
    ratio = steps["all"].step_ms / steps["prompt"].step_ms if known else 1.0
    costs = f"decode with all tokens took {ratio:.2f} times that with the prompt alone"
    costs = costs if known else "what decode costs was not measured"
    evidence = (*(one for _, *pair in gaps for one in pair), *steps.values())
    if not gaps:
        return Advice(
            "scope", "prompt", f"quality was not compared for {method}; {costs}", evidence
        )
    gap = mean(gap for gap, *_ in gaps)
    quality = f"all tokens were {gap:+.3f} against the prompt alone, the mean of {len(gaps)} sets"
    # Serving many tasks, or quickly, is worth so much quality as decode costs more.
    allowed = LEVEL * (1 + (ratio - 1) * (situation.tasks > 1 or situation.latency))
    value = "all" if gap > allowed else "prompt"
    return Advice("scope", value, f"{quality}; {costs}", evidence)


def _rank(
    situation: Situation, figures: Sequence[Figure], method: str, scope: Advice
) -> Advice | None:
    if not hasattr(METHODS[method](), "rank"):
        return None
    measured = [one for one in _of_task(situation, figures) if one.method == method and one.rank]
    gaps = _gaps(situation, figures, method)
    gap = mean(gap for gap, *_ in gaps) if gaps else 0.0
    about = f"rank-{'classification' if situation.task == 'classification' else 'generation'}"
    published = {one.about: one for one in of_kind(figures, Published)}
    if scope.value == "prompt" and gap > LEVEL and about in published and "rank" in published:
        wanted = 2 ** round(math.log2(published[about].figure))
        return Advice(
            "method.rank",
            str(wanted),
            f"prompt only is {gap:.3f} below all tokens at equal rank here, and more rank is said "
            "to make up for it; not measured by us",
            (published["rank"], published[about]),
        )
    if not measured:
        return None
    compared = _compared_ranks([one for one in measured if one.scope == scope.value]) or measured
    means = {
        rank: mean(one.value for one in compared if one.rank == rank)
        for rank in sorted({one.rank for one in compared if one.rank})
    }
    # More rank costs memory and time: the least that is level with the best.
    rank = next(rank for rank in means if means[rank] >= max(means.values()) - LEVEL)
    listed = ", ".join(f"{rank}: {value:.3f}" for rank, value in means.items())
    why = (
        f"the least rank that is level with the best of those measured on the same sets ({listed})"
    )
    return Advice("method.rank", str(rank), why, tuple(compared))


def _compared_ranks(measured: Sequence[Quality]) -> list[Quality]:
    """Those of sets on which the most ranks were tried: others would compare sets, not ranks."""
    tried = {one.set: {o.rank for o in measured if o.set == one.set} for one in measured}
    most = max(map(len, tried.values()), default=0)
    return [one for one in measured if len(tried[one.set]) == most]


def _rate(situation: Situation, figures: Sequence[Figure], method: str) -> Advice | None:
    rates = [one for one in of_kind(figures, Rate) if one.method == method]
    if not rates:
        return None
    best = max(rates, key=lambda one: one.value)
    config, evidence = situation.config(method), tuple(rates)
    # As the default rate falls: with the base's width, and with how far the method reaches.
    factor = config.rate_at(situation.width) / config.learning_rate
    why = f"the best of {len(rates)} rates on a base of width {VETTED_WIDTH}"
    if factor < 1:
        rules = [one for one in of_kind(figures, Published) if one.about == "rate"]
        evidence = (*rates, *rules)
        why += f", times {factor:.3g} for a base of width {situation.width}"
        why += " and a product that reaches further" if config.reach > 1 else ""
    return Advice("train.learning_rate", f"{best.rate * factor:.3g}", why, evidence)


def _epochs(situation: Situation, figures: Sequence[Figure]) -> Advice | None:
    learning = of_kind(figures, Learning)
    failed = max((one.steps for one in learning if not one.beyond), default=0)
    enough = [one.steps for one in learning if one.beyond and one.steps > failed]
    if not enough:
        return None
    in_epoch = max(1, -(-situation.rows // situation.batch))
    epochs = max(1, math.ceil(min(enough) / in_epoch))
    why = (
        f"{failed} steps were too few for some task, {min(enough)} were enough for all; an epoch "
        f"here has {in_epoch}. More may help: patience stops in time"
    )
    return Advice("train.epochs", str(epochs), why, tuple(learning))


def _precision(situation: Situation, figures: Sequence[Figure]) -> Advice | None:
    times = {one.precision: one for one in of_kind(figures, StepTime)}
    if not situation.fast_bf16 or not {"fp32", "bf16"} <= times.keys():
        return None
    gain = times["fp32"].step_ms / times["bf16"].step_ms
    value = "auto" if gain > 1.1 else "fp32"
    why = f"this device multiplies in bf16; a step was {gain:.1f} times as fast"
    return Advice("train.precision", value, why, (times["fp32"], times["bf16"]))


def _of_task(situation: Situation, figures: Sequence[Figure]) -> list[Quality]:
    kind = "classification" if situation.task == "classification" else "generation"
    return [
        one
        for one in of_kind(figures, Quality)
        if (one.task == "classification") == (kind == "classification")
    ]


def _is_own(one: Quality) -> bool:
    return one.low is None
