"""What a search found, as records and as pages: Jinja templates beside this file."""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment

from pretune.core import pages
from pretune.core.promise import Promise
from pretune.evaluation.compare import Difference, Verdict
from pretune.evaluation.intervals import Interval
from pretune.evaluation.report.scales import Scale, duration, round_range, size
from pretune.search.matters import FEWEST, Knob
from pretune.search.records import Fate, Trial
from pretune.search.study import REDUCTION

_WIDTH, _HEIGHT, _LEFT, _FLOOR = 700.0, 230.0, 46.0, 200.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search of ``task`` came to.

    ``spec`` is the task file of the ``best`` trial, ``run`` its folder. ``own`` is the trial of the
    task as it stands, ``gain`` the best against it on the validation rows (which chose the best,
    and so flatter it), ``test`` and ``test_gain`` the same on test rows, which chose nothing;
    ``None`` where there is nothing to compare. ``unfinished`` trials go on with a larger budget.
    ``passed`` says which registered tasks were not used.
    """

    task: str
    metric: str
    higher_is_better: bool
    spec: Path
    run: Path
    best: Trial
    own: Trial | None
    trials: tuple[Trial, ...]
    knobs: tuple[Knob, ...]
    gain: Difference | None
    test: Interval | None
    test_gain: Difference | None
    seconds: float
    measurements: int
    unfinished: int = 0
    passed: tuple[str, ...] = ()

    @property
    def fates(self) -> Mapping[Fate, int]:
        """Trials by what became of them."""
        return Counter(one.fate for one in self.trials)

    def notes(self) -> list[str]:
        """What the tables mean, and what they do not, in sentences."""
        fates = self.fates
        found = [
            f"{sum(one.trained for one in self.trials)} trainings in "
            f"{duration(self.seconds)}: {fates[Fate.FINISHED]} finished, {fates[Fate.STOPPED]} "
            f"stopped early, {fates[Fate.FAILED]} failed; {fates[Fate.REFUSED]} configurations "
            "refused before training",
            f"the best was chosen by {self.metric} on validation rows, so its value there flatters "
            "it, the more the more trials there were; one seed each",
        ]
        if self.measurements < REDUCTION:
            found.append(
                f"a training is measured {self.measurements} times, too seldom to stop a loser "
                'early; raise "evaluations_per_epoch"'
                if self.measurements < 2
                else f"a training is measured {self.measurements} times: losers are stopped at the "
                'first of them alone; raise "evaluations_per_epoch" for more'
            )
        measured = sum(bool(one.marks) for one in self.trials)
        if measured < FEWEST:
            found.append(
                f"importance needs {FEWEST} measured trials, there are {measured}: read the table "
                "as a hint"
            )
        if self.test_gain is not None and self.test_gain.verdict is Verdict.WORSE:
            found.append(
                "on test rows the best is worse than the task as it stands: there were too few "
                "validation rows to choose by; keep the task, or search again with more of them"
            )
        if self.own is None:
            found.append("the task as it stands is no point of this space, and was not trained")
        if self.unfinished:
            found.append(
                f"half trained: {self.unfinished}; the same command with a larger budget goes on "
                "with them"
            )
        for one in self.trials:
            found += [f"trial {one.number}, served: {line}" for line in one.served or ()]
            if one.unserved:
                found.append(
                    f"trial {one.number} could not be served: {one.unserved}; its goals on serving "
                    "are open, and the same command tries again"
                )
        return found + self._private() + [f"not begun with {one}" for one in self.passed]

    def _private(self) -> list[str]:
        """What the best training promises of any one row, and what all of them do together."""
        if not self.best.privacy:
            return []
        kept = [one.privacy for one in self.trials if one.privacy]
        said = f"the best promises privacy: {self.best.privacy}"
        if len(kept) > 1:
            said += f"; but it was chosen among {len(kept)} trainings on the same rows, which "
            said += f"together promise {Promise.together(kept)}"
        if self.unfinished:  # others were stopped by their measurements
            said += "; half trained ones are not counted, and weaken it further"
        return [said]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        value = asdict(self)
        return value | {
            "spec": str(self.spec),
            "run": str(self.run),
            "best": self.best.model_dump(mode="json"),
            "own": self.own and self.own.model_dump(mode="json"),
            "trials": [one.model_dump(mode="json") for one in self.trials],
            "fates": {str(fate): count for fate, count in self.fates.items()},
            "notes": self.notes(),
        }


@dataclass(frozen=True, slots=True)
class Dot:
    """One measured trial at ``x``, ``y``: its best value, in the order of trials."""

    x: float
    y: float
    trial: Trial


def dots(outcome: Outcome) -> tuple[tuple[Dot, ...], Scale]:
    """The trials over time, and the scale of their values."""
    shown = [one for one in outcome.trials if one.value is not None and one.marks]
    up = Scale(*round_range([one.value or 0.0 for one in shown]), _FLOOR, 14.0)
    last = max(one.number for one in shown)
    across = Scale(0, max(last, 1), _LEFT + 12, _WIDTH - 14)
    return tuple(Dot(across(one.number), up(one.value or 0.0), one) for one in shown), up


def render_html(outcome: Outcome) -> str:
    """One page: styles and plot inside, no script, no reference to any other file."""
    drawn, scale = dots(outcome)
    plot = {"dots": drawn, "ticks": scale.ticks(5), "width": _WIDTH, "height": _HEIGHT}
    plot |= {"left": _LEFT, "floor": _FLOOR}
    return _environment(True).get_template("page.html.jinja").render(o=outcome, plot=plot)


def render_markdown(outcome: Outcome) -> str:
    """The same tables as Markdown."""
    return _environment(False).get_template("report.md.jinja").render(o=outcome)


def best_of_each(knob: Knob) -> str:
    """What one would lose with the best other value, in a sentence."""
    found = knob.difference
    if knob.best is None:
        return "the best has no such knob"
    if found is None:
        return "no other value was trained to its end"
    return f"against trial {knob.other}: {gain_text(found)}"


def gain_text(found: Difference) -> str:
    """A difference with its interval and what it means."""
    delta = found.delta
    told = "cannot be told apart" if found.verdict is Verdict.UNDECIDED else str(found.verdict)
    return f"{delta.value:+.3f} ({delta.low:+.3f} to {delta.high:+.3f}), p = {found.p:.3f}: {told}"


def _marks(trial: Trial) -> str:
    return " ".join(f"{mark.value:.3f}" for mark in trial.marks)


def _ordered(trials: Sequence[Trial], outcome: Outcome) -> list[Trial]:
    sign = -1.0 if outcome.higher_is_better else 1.0
    fates = list(Fate)
    return sorted(
        trials, key=lambda one: (fates.index(one.fate), sign * (one.value or 0.0), one.number)
    )


@functools.cache
def _environment(escape: bool) -> Environment:
    environment = pages.environment("pretune.search", escape=escape)
    environment.filters |= {"duration": duration, "size": size, "marks": _marks}
    environment.globals |= {
        "ordered": _ordered,
        "best_of_each": best_of_each,
        "gain_text": gain_text,
    }
    return environment
