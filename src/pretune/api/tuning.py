"""A budgeted search for a task's best configuration; the result is a task file, and a report."""

import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from pretune.adapters.files import load_adapter
from pretune.api.claims import take_folder
from pretune.api.runs import RunFolder
from pretune.api.search_crew import run_crew
from pretune.api.searching import SEARCH_FILE, OutOfTime, Search, Trainer
from pretune.api.transfer import find_similar
from pretune.api.workbench import Workbench
from pretune.core.digest import SHORT
from pretune.core.errors import BudgetError, GoalMissed, TrainingError
from pretune.core.events import Event
from pretune.core.files import folder_lock, write_atomic
from pretune.core.protocols import EventSink
from pretune.core.records import Prediction
from pretune.data.dataset import prepare
from pretune.evaluation.compare import Difference, compare
from pretune.evaluation.evaluate import load_evaluation
from pretune.evaluation.intervals import Interval
from pretune.search.first import first_points
from pretune.search.matters import what_mattered
from pretune.search.records import Fate, Trial, load_trials, trial_folder, winner
from pretune.search.report import Outcome, render_html, render_markdown
from pretune.search.study import need_optuna
from pretune.spec.dump import dump_task, task_value
from pretune.spec.search import SearchSpec
from pretune.spec.task import TaskSpec, load_task
from pretune.training.processes import is_main

BEST_FILE = "best.yaml"
REPORT = "report"

_PARTS = ("trials", "rows", "similar", "journal.jsonl", "spent.json", BEST_FILE)
"""What earlier work leaves in the folder."""


def tune(
    task: TaskSpec,
    out: Path | str,
    search: SearchSpec | None = None,
    *,
    registry: Path | str | None = None,
    jobs: int | None = None,
    overwrite: bool = False,
    sinks: Sequence[EventSink] = (),
) -> Outcome:
    """Search for the best configuration of ``task`` by its first metric, within a budget.

    Configurations that do not fit, or that rule out a goal, are refused before training; losers are
    stopped early; the first trials are the task as it stands, the adviser's, and those of similar
    tasks in ``registry``. All is kept in ``out``: ``best.yaml``, a task file that trains to the
    best trial's numbers, ``report.md``, ``report.html``, ``report.json``, and every trial's run.
    The same call goes on after a kill or with a larger budget, and trains nothing twice.

    Args:
        jobs: trainings at a time; default: one for each CUDA device, else one.
        overwrite: begin anew.
        sinks: are told ``tune.start``, of each trial ``tune.trial``, its training's events with its
            number under ``trial``, ``tune.done``; at last ``tune.end``.

    Raises:
        SpecError: nothing to choose from.
        GoalMissed: a goal rules out every configuration, or nothing fits.
        BudgetError: the minutes are too few for one trial, or were spent before one was finished.
        BusyError: ``out`` is in use, or holds a search of another task, base, rows or space.
        MissingExtra: Optuna is not installed.
        KeyboardInterrupt: Ctrl-C in a training; the same call goes on with it.
    """
    need_optuna()
    folder, spec = Path(out), search or SearchSpec()
    devices = _devices(jobs)
    with folder_lock(folder, "tuning"):
        workbench = Workbench.open(task.base, devices[0])
        data = prepare(task, workbench.base.renderer)
        if not is_main(workbench.base.device) or int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise TrainingError(
                "a search trains whole trials side by side, not one in several processes; start it "
                "without accelerate launch, and say how many with jobs"
            )
        identity = {
            "task": task.digest()[:SHORT],
            "base": workbench.base.digest[:SHORT],
            "rows of the task": data.digest[:SHORT],
            "registry": None if registry is None else str(Path(registry).resolve()),
            **{f"search.{key}": value for key, value in spec.shared().items()},
        }
        more = {
            "spec": task_value(task),
            "search": spec.model_dump(mode="json", exclude_unset=True),
        }
        take_folder(
            folder / SEARCH_FILE,
            "a search",
            identity,
            overwrite=(SEARCH_FILE, *_PARTS) if overwrite else None,
            more=more,
        )
        if registry is not None and spec.similar:
            similar = folder / "similar"
            find_similar(Path(registry), task.name, workbench, data.train, spec.similar, similar)
        found = Search(folder, task, spec, workbench, data, len(devices))
        _check_budget(found)
        clock = _Clock(folder)
        _run(found, devices, [clock, *sinks], clock)
        outcome = _outcome(found, clock.seconds)
        _write(outcome, folder)
        for sink in sinks:
            sink.emit(Event("tune.end", values={"best": outcome.best.number}))
    return outcome


def _devices(jobs: int | None) -> list[str]:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    wanted = jobs or max(1, count)
    return [f"cuda:{i % count}" if count else "cpu" for i in range(wanted)]


def _check_budget(search: Search) -> None:
    """Find a configuration that may be trained, and see that there is time for it.

    Raises:
        GoalMissed: there is none.
        BudgetError: it takes longer than all of the minutes.
    """
    refused: dict[str, None] = {}
    space = search.space
    points = [] if (own := space.own()) is None else [own]
    for point in (*points, *map(space.usual, space.shapes())):
        task = space.task_of(point)
        if (reason := search.foresight.refusal(task)) is not None:
            refused.setdefault(f"{point.shape}: {reason}")
            continue
        whole, minutes = search.foresight.resources(task).estimate.whole, search.spec.minutes
        if minutes is not None and whole.low > minutes * 60:
            raise BudgetError(
                f'"{minutes:g}" minutes are too few for one trial: {point.shape} takes '
                f"{whole.expected / 60:.3g} ({whole.low / 60:.3g} to {whole.high / 60:.3g}); give "
                f"{whole.high / 60:.2g} or more, or train fewer epochs or rows"
            )
        return
    few = list(refused)[:5]
    more = f"\n  and {len(refused) - 5} more" if len(refused) > 5 else ""
    raise GoalMissed(
        "every configuration is ruled out before training:\n  " + "\n  ".join(few) + more
    )


def _run(search: Search, devices: Sequence[str], sinks: list[EventSink], clock: "_Clock") -> None:
    study, minutes = search.study(), search.spec.minutes
    if not study.begun:
        advice = search.foresight.advice()
        study.queue(
            search.space, first_points(search.space, advice, search.transfer.similar, search.width)
        )
    halves = study.running()
    done = load_trials(search.folder)
    for sink in sinks:
        values = {
            "task": search.task.name,
            "metric": search.task.metrics[0],
            "higher_is_better": search.higher_is_better,
            "trials": search.spec.most_trials,
            "minutes": minutes,
            "seconds": clock.seconds,
            "jobs": len(devices),
            "halves": len(halves),
            "done": [one.model_dump(mode="json") for one in done],
        }
        sink.emit(Event("tune.start", values=values))
    left = float("inf") if minutes is None else minutes * 60 - clock.seconds
    deadline = time.time() + left
    if len(devices) > 1:
        run_crew(search.folder, devices, halves, deadline, sinks)
        return
    with suppress(OutOfTime):
        Trainer(search, sinks, deadline).run(halves)


class _Clock:
    """Counts the wall time of a search over all of its parts; a kill loses what came after the last
    measurement."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "spent.json"
        self._before = 0.0
        if self._path.exists():
            self._before = float(json.loads(self._path.read_text("utf-8"))["seconds"])
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """So far."""
        return self._before + time.monotonic() - self._began

    def emit(self, event: Event) -> None:
        """Write it down now and then."""
        if event.kind in ("tune.done", "train.validation", "train.checkpoint"):
            write_atomic(self._path, json.dumps({"seconds": round(self.seconds, 2)}) + "\n")


def _outcome(search: Search, seconds: float) -> Outcome:
    folder, task = search.folder, search.task
    trials = load_trials(folder)
    rises = search.higher_is_better
    best = winner(trials, higher_is_better=rises)
    unfinished = len(search.study().running())
    if best is None:
        raise _nothing_finished(trials, seconds, unfinished)
    metric = task.metrics[0]
    own = next((one for one in trials if one.why == "the task as it stands"), None)
    compared = own is not None and own.fate is Fate.FINISHED and own.number != best.number

    def answers(trial: Trial) -> Sequence[Prediction]:
        place = trial_folder(folder, trial.number) / "evaluation" / "validation"
        return load_evaluation(place).predictions

    gain = compare(answers(own), answers(best), [metric])[0] if compared and own else None
    test, test_gain = _on_test(search, best, own if compared else None)
    run = RunFolder(trial_folder(folder, best.number))
    write_atomic(folder / BEST_FILE, dump_task(load_task(run.task), folder))
    whole = task.train.epochs * task.train.evaluations_per_epoch
    return Outcome(
        task=task.name,
        metric=metric,
        higher_is_better=rises,
        spec=folder / BEST_FILE,
        run=run.path,
        best=best,
        own=own,
        trials=tuple(trials),
        knobs=what_mattered(trials, best, metric, answers, higher_is_better=rises),
        gain=gain,
        test=test,
        test_gain=test_gain,
        seconds=round(seconds, 1),
        measurements=whole,
        unfinished=unfinished,
        passed=search.transfer.passed,
    )


def _nothing_finished(trials: Sequence[Trial], seconds: float, unfinished: int) -> Exception:
    if unfinished or not trials:
        return BudgetError(
            f"after {seconds / 60:.3g} minutes no trial is finished; the same command with more "
            "minutes goes on where it was"
        )
    last = trials[-1]
    broken = [one for one in trials if one.broken]
    if broken:
        return GoalMissed(
            f"every finished trial breaks a goal; trial {broken[0].number}: {broken[0].broken[0]}"
        )
    return TrainingError(
        f"no trial was finished; the last, {last.says}: {last.fate}, {last.reason}; look at the "
        "task with: pretune check, pretune plan"
    )


def _on_test(
    search: Search, best: Trial, own: Trial | None
) -> tuple[Interval | None, Difference | None]:
    """The best, and its difference to the task as it stands, on rows that chose nothing."""
    metric = search.task.metrics[0]
    measured = []
    for one in (best, own):
        if one is None:
            continue
        run = RunFolder(trial_folder(search.folder, one.number))
        task = load_task(run.task)
        rows = prepare(task, search.workbench.base.renderer).test
        if not rows:
            return None, None
        measured.append(search.workbench.evaluate(task, rows, load_adapter(run.adapter())))
    test = measured[0].metrics[metric]
    if len(measured) < 2:
        return test, None
    first, second = measured[1].predictions, measured[0].predictions
    if {one.row_id for one in first} != {one.row_id for one in second}:
        return test, None  # virtual tokens took the room of a row
    return test, compare(first, second, [metric])[0]


def _write(outcome: Outcome, folder: Path) -> None:
    value: dict[str, Any] = outcome.to_dict()
    text = json.dumps(value, ensure_ascii=False, indent=1, default=str)
    write_atomic(folder / f"{REPORT}.json", text + "\n")
    write_atomic(folder / f"{REPORT}.md", render_markdown(outcome))
    write_atomic(folder / f"{REPORT}.html", render_html(outcome))
