"""The winner of a search, served: one that misses a goal on latency, memory or cost cannot win.

Serving takes a minute for each load, so it is not done of every trial: the best is served, and the
next best only where that one failed.
"""

from collections.abc import Sequence

from pretune.api.gate_served import measures_of, of_serving, rows_of, serve_and_load
from pretune.api.runs import RunFolder
from pretune.api.searching import Search
from pretune.api.workbench import sample
from pretune.core.errors import PretuneError
from pretune.core.events import Event
from pretune.core.protocols import EventSink
from pretune.core.records import Row
from pretune.evaluation.goals import Outcome
from pretune.gating.evidence import PROBED
from pretune.gating.judge import judge
from pretune.search.records import Trial, trial_folder
from pretune.spec.task import load_task

LOAD_SECONDS = 60.0
"""Most seconds of each load, as in a gate."""


def serve_the_best(search: Search, sinks: Sequence[EventSink]) -> None:
    """Serve the best trial at the loads that the task's goals name, and the next best as long as
    one fails; each record keeps what was found, so nothing is served twice but what could not be
    measured: a server that fails breaks no goal, and ends this until the next call."""
    if not of_serving(search.task.goals):
        return
    rows = rows_of(search.task, sample(search.data.test or search.data.validation, PROBED))
    failed = False
    while not failed and (best := search.winner()) is not None and best.served is None:
        for sink in sinks:
            sink.emit(Event("tune.serve", best.number))
        found = _served(search, best, rows)
        found.save(trial_folder(search.folder, found.number))
        failed = bool(found.unserved)
    # While the best may still fail, the next best are needed.
    search.tidy(all_able=failed)


def _served(search: Search, trial: Trial, rows: Sequence[Row]) -> Trial:
    """``trial`` with what its goals came to, and those that it breaks."""
    run = RunFolder(trial_folder(search.folder, trial.number))
    goals = of_serving(search.task.goals)
    try:
        loads = serve_and_load(load_task(run.task), run.adapter(), rows, LOAD_SECONDS)
    except PretuneError as error:
        return trial.model_copy(update={"unserved": str(error)})
    measures = {name: one for load in loads for name, one in measures_of(load, goals).items()}
    checks = judge(goals, measures, {})
    told = [(one.outcome, f"{one.name}: {one.outcome}, {one.reason}") for one in checks]
    broken = tuple(line for outcome, line in told if outcome is Outcome.FAIL)
    served = tuple(line for _, line in told)
    return trial.model_copy(update={"served": served, "unserved": "", "broken": broken})
