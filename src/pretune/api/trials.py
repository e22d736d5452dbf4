"""Trials: trainings that differ in their rows alone, each finished once and kept."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pretune.adapters.tunable import tuning
from pretune.api.workbench import Workbench, start_text
from pretune.core.digest import SHORT
from pretune.core.events import Event
from pretune.core.files import write_atomic
from pretune.core.protocols import EventSink
from pretune.core.records import Prediction
from pretune.data.augment.trials import TrialRows
from pretune.data.dataset import prepare
from pretune.evaluation.evaluate import load_evaluation, save_evaluation
from pretune.spec.probing import ProbeSpec
from pretune.spec.task import TaskSpec
from pretune.training.history import StopReason
from pretune.training.loop import Start, train
from pretune.training.plan import batch_size

WITHOUT = "without"
"""The operators of a trial on seed rows alone."""


class Trial(NamedTuple):
    """Seed rows, so many and of the repeat ``seed``, with variants by ``operators``, or
    ``WITHOUT``."""

    rows: int
    seed: int
    operators: str

    @property
    def name(self) -> str:
        """Its name, and that of its folder."""
        return f"rows-{self.rows}.seed-{self.seed}.{self.operators}"

    @property
    def compared(self) -> tuple[int, str]:
        """What is compared: number of seed rows, operators."""
        return self.rows, self.operators


class Outcome(NamedTuple):
    """What a trial came to: its answers, the variants that it was trained on, its wall time."""

    predictions: Sequence[Prediction]
    variants: int
    seconds: float


@dataclass(frozen=True)
class Trials:
    """What the trials of one task share."""

    task: TaskSpec
    workbench: Workbench
    rows: TrialRows
    spec: ProbeSpec
    folder: Path
    sinks: Sequence[EventSink]

    def run(self, trials: Sequence[Trial]) -> dict[Trial, Outcome]:
        """Train and measure those that are not finished; all outcomes.

        Raises:
            KeyboardInterrupt: Ctrl-C in a training; the next call goes on with it.
        """
        missing = [trial for trial in trials if not self._record(trial).exists()]
        self._tell(
            "probe.start",
            runs={trial.name: self.steps(trial.rows) for trial in missing},
            finished=len(trials) - len(missing),
        )
        for trial in missing:
            self._tell("probe.run", run=trial.name)
            self._train(trial)
        return {trial: self._outcome(trial) for trial in trials}

    def steps(self, rows: int) -> int:
        """Optimiser steps of every training on ``rows`` seed rows, with variants and without."""
        recipe = self.task.train
        size = batch_size(self.task.method, recipe)
        own = recipe.epochs * -(-rows * (1 + self.spec.per_row) // size)
        return self.spec.steps or min(own, recipe.max_steps or own)

    def _train(self, trial: Trial) -> None:
        """Train and measure; the record, written last, says that it is finished."""
        began, folder = time.perf_counter(), self._folder(trial)
        task = self._task(trial)
        data = prepare(task, self.workbench.base.renderer, folder)
        injection, text, seed = self.workbench.injection, start_text(task), trial.seed
        with tuning(injection, task.method, task.scope, text=text, seed=seed) as tunable:
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
            **trial._asdict(),
            "variants": len(data.train) - trial.rows,
            "steps": result.steps,
            "loss": result.curve[-1],
            "training rows": data.digest[:SHORT],
            "adapter": result.adapter.digest,
            "seconds": round(time.perf_counter() - began, 2),
        }
        write_atomic(self._record(trial), json.dumps(record, indent=1) + "\n")

    def _task(self, trial: Trial) -> TaskSpec:
        """The task on the trial's rows, trained for its steps from its seed."""
        files = [self.rows.seeds(trial.rows, trial.seed)]
        if trial.operators != WITHOUT:
            variants = self.rows.variants(*trial)
            files += [] if variants is None else [variants]
        task, steps = self.rows.task_of(files), self.steps(trial.rows)
        recipe = {"seed": trial.seed, "epochs": steps, "max_steps": steps}
        return task.model_copy(update={"train": task.train.model_copy(update=recipe)})

    def _outcome(self, trial: Trial) -> Outcome:
        record = json.loads(self._record(trial).read_text("utf-8"))
        found = load_evaluation(self._folder(trial))
        return Outcome(found.predictions, record["variants"], record["seconds"])

    def _folder(self, trial: Trial) -> Path:
        return self.folder / trial.name

    def _record(self, trial: Trial) -> Path:
        return self._folder(trial) / "trial.json"

    def _tell(self, kind: str, **values: Any) -> None:
        for sink in self.sinks:
            sink.emit(Event(kind, values=values))
