"""A search in its folder: what its processes share, and the training of its trials."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from pretune.api.foresight import Foresight
from pretune.api.gate_served import of_serving
from pretune.api.runs import RunFolder
from pretune.api.transfer import Transfer, read_similar
from pretune.api.workbench import TrainedRun, Workbench, sample
from pretune.core.digest import of_json
from pretune.core.errors import AdapterError, DataError, TrainingError
from pretune.core.events import Event
from pretune.core.promise import Promise
from pretune.core.protocols import EventSink
from pretune.data.dataset import TaskData, prepare
from pretune.evaluation.evaluate import save_evaluation
from pretune.evaluation.metrics import get_metrics
from pretune.search.mixes import Mixes
from pretune.search.point import Point
from pretune.search.records import (
    Fate,
    Mark,
    Trial,
    load_trial,
    load_trials,
    trial_folder,
    winner,
)
from pretune.search.space import Space
from pretune.search.study import Asked, Study, one_at_a_time
from pretune.spec.search import SearchSpec, parse_search
from pretune.spec.task import TaskSpec, parse_task
from pretune.training.estimate.records import cache_folder
from pretune.training.history import Measurement, StopReason
from pretune.training.loop import Start
from pretune.training.oversight import Oversight
from pretune.training.result import TrainResult

SEARCH_FILE = "search.json"

NOTHING_NEW = 40
"""Choices in a row that were refused, or trained already, after which a search ends."""


@dataclass(frozen=True)
class Search:
    """One search. Everything follows from its folder, so that processes can share it."""

    folder: Path
    task: TaskSpec
    spec: SearchSpec
    workbench: Workbench
    data: TaskData
    jobs: int = 1

    @classmethod
    def read(cls, folder: Path, device: str, jobs: int) -> "Search":
        """The search that ``folder`` holds, on a base of its own."""
        said = json.loads((folder / SEARCH_FILE).read_text("utf-8"))
        task, spec = parse_task(said["spec"]), parse_search(said["search"])
        workbench = Workbench.open(task.base, device)
        return cls(folder, task, spec, workbench, prepare(task, workbench.base.renderer), jobs)

    @cached_property
    def transfer(self) -> Transfer:
        """Similar tasks, as far as they were looked for."""
        return read_similar(self.folder / "similar")

    @cached_property
    def mixes(self) -> Mixes:
        """The training rows by kind."""
        return Mixes(self.task, self.folder / "rows")

    @cached_property
    def width(self) -> int:
        """Hidden width of the base."""
        return self.workbench.base.anatomy.hidden

    @cached_property
    def space(self) -> Space:
        """What may be chosen."""
        beginnings = dict(self.transfer.beginnings)
        return Space(self.task, self.spec, self.width, self.mixes.kinds, beginnings)

    @cached_property
    def foresight(self) -> Foresight:
        """What can be said before training."""
        base = self.workbench.base
        cache, device = cache_folder(), str(base.device)
        return Foresight(self.task, self.data, base.renderer, device, cache, self.jobs)

    @cached_property
    def higher_is_better(self) -> bool:
        """Of the task's first metric."""
        (main,) = get_metrics(self.task.metrics[:1])
        return main.higher_is_better

    def study(self) -> Study:
        """Its trials, as Optuna keeps them."""
        return Study(self.folder, higher_is_better=self.higher_is_better, seed=self.spec.seed)

    def winner(self) -> Trial | None:
        """The best trial so far that keeps its goals."""
        return winner(load_trials(self.folder), higher_is_better=self.higher_is_better)

    def tidy(self, *, all_able: bool = False) -> None:
        """Keep the adapters of the best trial and of the first, or of all that may still win."""
        # Read once: what another process ends in the meantime is not looked at, so it stays.
        trials = load_trials(self.folder)
        best = winner(trials, higher_is_better=self.higher_is_better)
        for one in trials:
            if one.number and one != best and not (all_able and one.eligible):
                adapters = RunFolder(trial_folder(self.folder, one.number)).adapters
                shutil.rmtree(adapters, ignore_errors=True)

    def task_of(self, point: Point) -> TaskSpec:
        """The task as ``point`` configures it."""
        return self.mixes.task_of(self.space.task_of(point), point.shares)


class OutOfTime(Exception):
    """The minutes are spent; the trial that was running can go on from its checkpoint."""


class Trainer:
    """Trains trials of one search, one after another; several processes may each have one.

    Args:
        deadline: seconds of the epoch at which the minutes are spent.
    """

    def __init__(
        self, search: Search, sinks: Sequence[EventSink], deadline: float = float("inf")
    ) -> None:
        self._search = search
        self._study = search.study()
        self._sinks = sinks
        self._deadline = deadline
        self._data: dict[tuple[Any, ...], TaskData] = {}

    def run(self, halves: Sequence[int]) -> None:
        """Go on with ``halves``, trials that an earlier process left, and then with new ones until
        the budget is spent or there is nothing new to try.

        Raises:
            OutOfTime: in the middle of a trial.
            KeyboardInterrupt: Ctrl-C in a training; the next call goes on with it.
        """
        for number in halves:
            self._finish(self._study.take_up(number))
        idle = 0
        while idle < NOTHING_NEW and (asked := self._next()) is not None:
            idle = 0 if self._finish(asked).trained else idle + 1

    def _next(self) -> Asked | None:
        with one_at_a_time(self._search.folder):
            if time.time() >= self._deadline:
                return None
            done = load_trials(self._search.folder)
            over = {one.number for one in done}
            running = [number for number in self._study.running() if number not in over]
            most = self._search.spec.most_trials
            if most is not None and len(running) + sum(one.trained for one in done) >= most:
                return None
            return self._study.ask()

    def _finish(self, asked: Asked) -> Trial:
        """Train a trial and tell of it. Its record is written first: from then on it is over."""
        folder = trial_folder(self._search.folder, asked.number)
        trial = load_trial(folder)
        if trial is None:
            trial = self._trial(asked, asked.point(self._search.space), folder)
            trial.save(folder)
        if trial.fate in (Fate.FINISHED, Fate.REFUSED) and trial.value is not None:
            asked.finished(trial.value)
        else:
            asked.left()
        self._tidy(folder)
        self._tell("tune.done", asked.number, trial=trial.model_dump(mode="json"))
        return trial

    def _trial(self, asked: Asked, point: Point, folder: Path) -> Trial:
        task = self._search.task_of(point)
        # Of data files a task's digest has only the names, and those of all mixes are the same.
        spec = of_json([task.digest(), {str(kind): one for kind, one in point.shares.items()}])
        blank = Trial.of(asked.number, point, asked.why, spec)
        if (refusal := self._search.foresight.refusal(task)) is not None:
            return blank.model_copy(update={"fate": Fate.REFUSED, "reason": refusal})
        if (same := self._known(spec)) is not None:
            value = same.value if same.fate is Fate.FINISHED else None
            reason = f"the same as trial {same.number}"
            return blank.model_copy(update={"fate": Fate.REFUSED, "reason": reason, "value": value})
        self._tell("tune.trial", asked.number, says=str(point), why=asked.why)
        try:
            run = self._train(task, asked, folder)
        except (AdapterError, DataError) as error:
            return blank.model_copy(update={"fate": Fate.REFUSED, "reason": str(error)})
        except (TrainingError, MemoryError, torch.OutOfMemoryError) as error:
            said = str(error) if isinstance(error, TrainingError) else "out of memory"
            return blank.model_copy(update={"reason": said})
        return self._measured(blank, task, run, folder)

    def _train(self, task: TaskSpec, asked: Asked, folder: Path) -> TrainedRun:
        watch = task.metrics[0]

        def hopeless(measurements: Sequence[Measurement]) -> bool:
            return asked.hopeless([one.metrics[watch] for one in measurements])

        run = self._search.workbench.train(
            task,
            folder,
            data=self._prepared(task),
            sinks=[_OfTrial(sink, asked.number) for sink in self._sinks],
            start=Start.RESUME,
            oversight=Oversight(self._late, hopeless),
        )
        if run.result.reason is StopReason.INTERRUPTED:
            if self._late():
                raise OutOfTime
            raise KeyboardInterrupt
        return run

    def _late(self) -> bool:
        return time.time() >= self._deadline

    def _measured(self, blank: Trial, task: TaskSpec, run: TrainedRun, folder: Path) -> Trial:
        """What came of a training; the answers of one that was not stopped are kept to be compared
        with others'."""
        result, watch = run.result, task.metrics[0]
        stopped = result.reason is StopReason.GIVEN_UP
        if not stopped:
            rows = sample(run.data.validation, task.train.evaluation_rows)
            found = self._search.workbench.evaluate(task, rows, result.adapter)
            save_evaluation(found, folder / "evaluation" / "validation")
        measured = {
            "fate": Fate.STOPPED if stopped else Fate.FINISHED,
            "reason": _reason(result, watch),
            "value": result.best.metrics[watch] if result.best else None,
            "marks": tuple(Mark(one.step, one.metrics[watch]) for one in result.measurements),
            "metrics": dict(result.best.metrics) if result.best else {},
            "broken": tuple(_broken(task, run)),
            "seconds": round(result.seconds, 2),
            "steps": result.steps,
            "parameters": result.adapter.parameters,
            "adapter_bytes": len(result.adapter.serialized),
            "peak_memory_bytes": result.peak_memory,
            "privacy": Promise.of(result.adapter.notes),
        }
        if measured["value"] is None:
            measured |= {"fate": Fate.FAILED, "reason": f"{watch} was never a number"}
        return blank.model_copy(update=measured)

    def _known(self, spec: str) -> Trial | None:
        """The trial that was this very configuration."""
        trials = load_trials(self._search.folder)
        return next((one for one in trials if one.trained and one.spec == spec), None)

    def _prepared(self, task: TaskSpec) -> TaskData:
        """The rows of ``task``; those of the last trial are at hand."""
        key = task.data, task.method.virtual_tokens
        if key not in self._data:
            self._data = {key: prepare(task, self._search.workbench.base.renderer)}
        return self._data[key]

    def _tidy(self, folder: Path) -> None:
        """Keep no checkpoint of what is over, and no adapter of a trial that cannot win: where the
        winner is to be served, the next best may follow it."""
        shutil.rmtree(RunFolder(folder).training, ignore_errors=True)
        self._search.tidy(all_able=bool(of_serving(self._search.task.goals)))

    def _tell(self, kind: str, number: int, **values: Any) -> None:
        for sink in self._sinks:
            sink.emit(Event(kind, number, values))


class _OfTrial:
    """Hands a training's events on with the number of its trial."""

    def __init__(self, sink: EventSink, number: int) -> None:
        self._sink = sink
        self._number = number

    def emit(self, event: Event) -> None:
        if event.kind.startswith("train."):
            values = {**event.values, "trial": self._number}
            self._sink.emit(Event(event.kind, event.step, values))


def _reason(result: TrainResult, watch: str) -> str:
    """Why a training ended before its last step, if it did."""
    if result.reason is StopReason.GIVEN_UP:
        last = result.measurements[-1]
        return f"{watch} {last.metrics[watch]:.3f} at step {last.step} was not among the best third"
    return "no better metric for too long" if result.reason is StopReason.EARLY else ""


def _broken(task: TaskSpec, run: TrainedRun) -> list[str]:
    """Goals on size, time and memory that the training itself did not meet."""
    found = {
        "adapter_mb": len(run.adapter.serialized) / 1e6,
        "train_hours": run.result.hours,
        "train_memory_gb": run.result.peak_memory / 1e9,
    }
    return [
        f"{goal}: {found[goal.metric]:.3g}"
        for goal in task.goals
        if goal.metric in found and not goal.holds(found[goal.metric])
    ]
