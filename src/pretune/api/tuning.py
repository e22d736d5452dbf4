"""A budgeted search for a task's best configuration; the result is a task file, and a report."""

import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch

from pretune.api.claims import take_folder
from pretune.api.search_crew import run_crew
from pretune.api.searching import SEARCH_FILE, OutOfTime, Search, Trainer
from pretune.api.transfer import find_similar
from pretune.api.tuned import BEST_FILE, REPORTS, outcome_of, write_reports
from pretune.api.tuned_served import serve_the_best
from pretune.api.workbench import Workbench
from pretune.core.digest import SHORT
from pretune.core.errors import BudgetError, GoalMissed, StorageError, TrainingError
from pretune.core.events import Event
from pretune.core.files import folder_lock, write_atomic
from pretune.core.protocols import EventSink
from pretune.data.dataset import prepare
from pretune.evaluation.slices import check_goal_names
from pretune.search.first import first_points
from pretune.search.records import load_trials
from pretune.search.report import Outcome
from pretune.search.study import FILE_NAME as JOURNAL
from pretune.search.study import need_optuna
from pretune.spec.dump import task_value
from pretune.spec.search import SearchSpec
from pretune.spec.task import TaskSpec

_SIMILAR = "similar"
_PARTS = (JOURNAL, "trials", "rows", "spent.json", BEST_FILE, _SIMILAR)
"""What a search makes beside its record. The journal goes first where all is removed: what a kill
leaves of the others is then seen to be incomplete."""


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
    stopped early; a winner that misses a goal on latency, memory or cost when it is served gives
    way to the next best. The first trials are the task as it stands, the adviser's, and those of
    similar tasks in ``registry``. All is kept in ``out``: ``best.yaml``, a task file that trains to
    the best trial's numbers, ``report.md``, ``report.html``, ``report.json``, and every trial's
    run. The same call goes on after a kill or with a larger budget, and trains nothing twice.

    Args:
        jobs: trainings at a time; default: one for each CUDA device, else one.
        overwrite: begin anew.
        sinks: are told ``tune.start``, of each trial ``tune.trial``, its training's events with its
            number under ``trial``, ``tune.done``, ``tune.serve`` of one that is served; at last
            ``tune.end``.

    Raises:
        SpecError: nothing to choose from.
        UnknownName: a goal on a metric that nobody knows.
        GoalMissed: a goal rules out every configuration, or nothing fits.
        BudgetError: the minutes are too few for one trial, or were spent before one was finished.
        BusyError: ``out`` is in use, or holds a search of another task, base, rows or space, or
            what is of no search.
        StorageError: what ``out`` holds of a search is damaged, or cannot be written.
        MissingExtra: Optuna is not installed.
        KeyboardInterrupt: Ctrl-C in a training; the same call goes on with it.
    """
    need_optuna()
    check_goal_names(task.goals)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise TrainingError(
            "a search trains whole trials side by side, not one in several processes; start it "
            "without accelerate launch, and say how many with jobs"
        )
    folder, devices = Path(out), _devices(jobs)
    with folder_lock(folder, "tuning"):
        place = None if registry is None else Path(registry)
        found = _opened(task, folder, search or SearchSpec(), place, devices, overwrite=overwrite)
        _check_budget(found)
        clock = _Clock(folder)
        _run(found, devices, [clock, *sinks], clock)
        serve_the_best(found, sinks)
        outcome = outcome_of(found, clock.seconds)
        write_reports(outcome, folder)
        for sink in sinks:
            sink.emit(Event("tune.end", values={"best": outcome.best.number}))
    return outcome


def _opened(
    task: TaskSpec,
    folder: Path,
    spec: SearchSpec,
    registry: Path | None,
    devices: Sequence[str],
    *,
    overwrite: bool,
) -> Search:
    """Make ``folder`` this search's, or refuse it; look for similar tasks."""
    workbench = Workbench.open(task.base, devices[0])
    data = prepare(task, workbench.base.renderer)
    identity = {
        "task": task.digest()[:SHORT],
        "base": workbench.base.digest[:SHORT],
        "rows of the task": data.digest[:SHORT],
        "registry": None if registry is None else str(registry.resolve()),
        **{f"search.{key}": value for key, value in spec.shared().items()},
    }
    begun = [name for name in _PARTS if name != _SIMILAR and (folder / name).exists()]
    if begun and JOURNAL not in begun and (folder / SEARCH_FILE).exists() and not overwrite:
        raise StorageError(
            f'"{folder}" holds "{begun[0]}" of a search and no "{JOURNAL}"; restore that from a '
            "backup, name another folder with --out, or begin anew with --overwrite"
        )
    # Where no trial was asked for yet, whatever was refused there holds nothing to go on with.
    refused = None if begun else (_SIMILAR,)
    take_folder(
        folder / SEARCH_FILE,
        "a search",
        identity,
        parts=(*_PARTS, *REPORTS),
        anew=_PARTS if overwrite else refused,
        more={
            "spec": task_value(task),
            "search": spec.model_dump(mode="json", exclude_unset=True),
        },
    )
    if registry is not None and spec.similar:
        find_similar(registry, task.name, workbench, data.train, spec.similar, folder / _SIMILAR)
    return Search(folder, task, spec, workbench, data, len(devices))


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
            try:
                self._before = float(json.loads(self._path.read_text("utf-8"))["seconds"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise StorageError(
                    f'"{self._path}" is damaged ({type(error).__name__}); remove it, and the time '
                    "spent so far is not counted, or begin anew with --overwrite"
                ) from error
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """So far."""
        return self._before + time.monotonic() - self._began

    def emit(self, event: Event) -> None:
        """Write it down now and then."""
        if event.kind in ("tune.done", "train.validation", "train.checkpoint"):
            write_atomic(self._path, json.dumps({"seconds": round(self.seconds, 2)}) + "\n")
