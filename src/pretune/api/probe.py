"""Does augmentation help a task? Trained with and without, measured on the same rows."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pretune.adapters.tunable import tuning
from pretune.api.workbench import Workbench, start_text
from pretune.core.digest import SHORT
from pretune.core.errors import BusyError, DataError
from pretune.core.events import Event
from pretune.core.files import folder_lock, write_atomic
from pretune.core.protocols import EventSink
from pretune.core.records import Prediction
from pretune.data.augment.trials import TrialRows
from pretune.data.dataset import prepare
from pretune.data.workshop.tracked import file_digests
from pretune.evaluation.effects import Effect, effect_of, effects_markdown
from pretune.evaluation.evaluate import load_evaluation, save_evaluation
from pretune.spec.probing import ProbeSpec
from pretune.spec.task import TaskSpec
from pretune.training.history import StopReason
from pretune.training.loop import Start, train
from pretune.training.plan import batch_size

WITHOUT = "without"
"""The run of seed rows alone."""


class Trial(NamedTuple):
    """One training: on so many seed rows, in the repeat of ``seed``, with variants by
    ``operators`` (``WITHOUT``: none) from the file ``variants``."""

    rows: int
    seed: int
    operators: str
    variants: Path | None

    @property
    def name(self) -> str:
        """Its name, and that of its folder."""
        return f"rows-{self.rows}.seed-{self.seed}.{self.operators}"


class Outcome(NamedTuple):
    """What a trial came to: its answers, the variants that it was trained on, its wall time."""

    predictions: Sequence[Prediction]
    variants: int
    seconds: float


@dataclass(frozen=True)
class Probed:
    """All effects, smallest number of seed rows first, and what they rest on."""

    task: str
    split: str
    held_rows: int
    seeds: tuple[int, ...]
    effects: tuple[Effect, ...]
    identity: dict[str, Any]
    report: Path

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        rest = asdict(self) | {"report": str(self.report)}
        return rest | {"effects": [effect.to_dict() for effect in self.effects]}

    def notes(self) -> list[str]:
        """What the table means, in sentences."""
        seeds = "one training" if len(self.seeds) == 1 else f"{len(self.seeds)} trainings"
        return [
            f"measured on {self.held_rows:,} {self.split} rows, the same for all; first metric: "
            f"{self.effects[0].differences[0].metric}",
            f"{seeds} for each line and for each number of rows without variants; both sides take "
            "the same number of optimiser steps, and the parameters after the last one",
            "gains, loses: the paired 95 % interval excludes 0, p < 0.05, and no seed says the "
            "opposite; of 20 operators that do nothing, about one may still be called either",
        ]


def probe_augmentation(
    task: TaskSpec,
    out: Path | str,
    spec: ProbeSpec | None = None,
    *,
    overwrite: bool = False,
    sinks: Sequence[EventSink] = (),
) -> Probed:
    """Train ``task`` with the variants of each of ``spec.operators`` and without any, and compare.

    Both sides of a comparison see the same seed rows, initial weights and held-out rows, and take
    the same number of optimiser steps: with the same number of epochs the side with more rows would
    be trained longer, and that alone can help. There is no early stop and no choice of a best step,
    which would favour the side that is measured more often.

    All is kept in ``out``: rows with their lineage, answers, ``report.json`` and ``report.md``. The
    same call goes on after a kill; finished runs are not trained again, and operators, rows and
    seeds may be added. ``sinks`` are told ``probe.start``, then of each training and
    ``probe.run``.

    Raises:
        SpecError: a chat task, which no operator varies.
        DataError: fewer rows than asked for, or no operator finds anything to change.
        BusyError: ``out`` is in use, or holds a probe of other rows or settings.
        KeyboardInterrupt: Ctrl-C in a training; the same call goes on with it.
    """
    folder, spec = Path(out), spec or ProbeSpec()
    workbench = Workbench.open(task.base)
    with folder_lock(folder, "probing"):
        data = prepare(task, workbench.base.renderer)
        identity = _identity(task, workbench, data.digest, spec)
        _take(folder, identity, overwrite=overwrite)
        rows = TrialRows(task, data, folder / "rows", spec)
        seeds = tuple(range(spec.seed, spec.seed + spec.seeds))
        trials = _trials(task, rows, spec, seeds)
        probe = _Probe(task, workbench, rows, spec, folder, sinks)
        done = probe.run([trial for trial in trials.values() if _trained(trial)])
        effects = tuple(
            probe.effect(count, operators, seeds, trials, done)
            for count in rows.sizes
            for operators in spec.operators
        )
        report = folder / "report.md"
        held = len(next(iter(done.values())).predictions)
        probed = Probed(task.name, rows.split, held, seeds, effects, identity, report)
        text = json.dumps(probed.to_dict(), ensure_ascii=False, indent=1)
        write_atomic(folder / "report.json", text + "\n")
        title = f"What augmentation does to {task.name}"
        write_atomic(report, effects_markdown(title, probed.notes(), effects))
    return probed


def _identity(task: TaskSpec, workbench: Workbench, rows: str, spec: ProbeSpec) -> dict[str, Any]:
    """What every run of a folder has in common, by the names a user knows."""
    return {
        "task": task.digest()[:SHORT],
        "base": workbench.base.digest[:SHORT],
        "rows of the task": rows[:SHORT],
        "names": None if spec.names is None else file_digests([spec.names]),
        **spec.shared(),
    }


def _take(folder: Path, identity: dict[str, Any], *, overwrite: bool) -> None:
    """Make ``folder`` this probe's, or refuse it."""
    path = folder / "probe.json"
    if overwrite:
        for name in ("rows", "runs"):
            shutil.rmtree(folder / name, ignore_errors=True)
    elif path.exists():
        before = json.loads(path.read_text("utf-8"))
        if other := [name for name in identity if before.get(name) != identity[name]]:
            raise BusyError(
                f'"{folder}" holds a probe with other "{other[0]}"; go on with that, '
                "name another folder with --out, or begin anew with --overwrite"
            )
    write_atomic(path, json.dumps(identity, indent=1) + "\n")


def _trials(
    task: TaskSpec, rows: TrialRows, spec: ProbeSpec, seeds: Sequence[int]
) -> dict[tuple[int, int, str], Trial]:
    """All trials, their rows written: what cannot be made is known before anything is trained."""
    found: dict[tuple[int, int, str], Trial] = {}
    for count in rows.sizes:
        for seed in seeds:
            found[count, seed, WITHOUT] = Trial(count, seed, WITHOUT, None)
            for operators in spec.operators:
                variants = rows.variants(count, seed, operators)
                found[count, seed, operators] = Trial(count, seed, operators, variants)
    if not any(trial.variants for trial in found.values()):
        raise DataError(
            f'"{", ".join(spec.operators)}" find nothing to change in the rows of task '
            f'"{task.name}"; choose other operators with --with, or give names of your own with '
            "--names"
        )
    return found


def _trained(trial: Trial) -> bool:
    """Whether a trial is a training of its own: where nothing was varied it is the one without."""
    return trial.operators == WITHOUT or trial.variants is not None


@dataclass(frozen=True)
class _Probe:
    """What all trials of a probe share."""

    task: TaskSpec
    workbench: Workbench
    rows: TrialRows
    spec: ProbeSpec
    folder: Path
    sinks: Sequence[EventSink]

    def run(self, trials: Sequence[Trial]) -> dict[tuple[int, int, str], Outcome]:
        """Train and measure what is not finished; all outcomes."""
        missing = [trial for trial in trials if not self._record(trial).exists()]
        self._tell(
            "probe.start",
            runs={trial.name: self._steps(trial.rows) for trial in missing},
            finished=len(trials) - len(missing),
        )
        for trial in missing:
            self._tell("probe.run", run=trial.name)
            self._train(trial)
        return {trial[:3]: self._outcome(trial) for trial in trials}

    def effect(
        self,
        count: int,
        operators: str,
        seeds: Sequence[int],
        trials: dict[tuple[int, int, str], Trial],
        done: dict[tuple[int, int, str], Outcome],
    ) -> Effect:
        """The effect of ``operators`` on ``count`` seed rows, over all seeds."""
        before = [done[count, seed, WITHOUT] for seed in seeds]
        after = [
            done[count, seed, operators if _trained(trials[count, seed, operators]) else WITHOUT]
            for seed in seeds
        ]
        varied = [one for one, other in zip(after, before, strict=True) if one is not other]
        return effect_of(
            count,
            operators,
            [
                (one.predictions, other.predictions)
                for one, other in zip(before, after, strict=True)
            ],
            self.task.metrics,
            variants=[outcome.variants for outcome in after],
            steps=self._steps(count),
            seconds=sum(outcome.seconds for outcome in varied),
        )

    def _steps(self, count: int) -> int:
        """Optimiser steps of every training on ``count`` seed rows, varied or not."""
        recipe = self.task.train
        size = batch_size(self.task.method, recipe)
        own = recipe.epochs * -(-count * (1 + self.spec.per_row) // size)
        return self.spec.steps or min(own, recipe.max_steps or own)

    def _train(self, trial: Trial) -> None:
        """Train and measure; the record, written last, says that it is finished."""
        began, folder = time.perf_counter(), self.folder / "runs" / trial.name
        seeds = self.rows.seeds(trial.rows, trial.seed)
        task = self.rows.task_of([seeds] if trial.variants is None else [seeds, trial.variants])
        steps = self._steps(trial.rows)
        recipe = {"seed": trial.seed, "epochs": steps, "max_steps": steps}
        task = task.model_copy(update={"train": task.train.model_copy(update=recipe)})
        data = prepare(task, self.workbench.base.renderer, folder)
        text = start_text(task)
        with tuning(
            self.workbench.injection, task.method, task.scope, text=text, seed=trial.seed
        ) as tunable:
            result = train(
                tunable,
                data.train,
                task.train,
                folder / "training",
                sinks=self.sinks,
                start=Start.RESUME,
            )
        if result.reason is StopReason.INTERRUPTED:
            raise KeyboardInterrupt
        found = self.workbench.evaluate(task, data.validation, result.adapter)
        save_evaluation(found, folder)
        shutil.rmtree(folder / "training", ignore_errors=True)
        record = {
            "rows": trial.rows,
            "seed": trial.seed,
            "operators": trial.operators,
            "variants": len(data.train) - trial.rows,
            "steps": result.steps,
            "loss": result.curve[-1],
            "training rows": data.digest[:SHORT],
            "adapter": result.adapter.digest,
            "seconds": round(time.perf_counter() - began, 2),
        }
        write_atomic(self._record(trial), json.dumps(record, indent=1) + "\n")

    def _outcome(self, trial: Trial) -> Outcome:
        record = json.loads(self._record(trial).read_text("utf-8"))
        found = load_evaluation(self.folder / "runs" / trial.name)
        return Outcome(found.predictions, record["variants"], record["seconds"])

    def _record(self, trial: Trial) -> Path:
        return self.folder / "runs" / trial.name / "trial.json"

    def _tell(self, kind: str, **values: Any) -> None:
        for sink in self.sinks:
            sink.emit(Event(kind, values=values))
