"""What a search came to: the winner as a task file, compared, and the reports."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pretune.adapters.files import load_adapter
from pretune.api.runs import RunFolder
from pretune.api.searching import Search
from pretune.core.errors import BudgetError, GoalMissed, TrainingError
from pretune.core.files import write_atomic
from pretune.core.records import Prediction
from pretune.data.dataset import prepare
from pretune.evaluation.compare import Difference
from pretune.evaluation.evaluate import load_evaluation, save_evaluation
from pretune.evaluation.intervals import Interval
from pretune.search.matters import difference, what_mattered
from pretune.search.records import Fate, Trial, load_trials, trial_folder
from pretune.search.report import Outcome, render_html, render_markdown
from pretune.spec.dump import dump_task
from pretune.spec.task import load_task

BEST_FILE = "best.yaml"
REPORTS = ("report.json", "report.md", "report.html")


def outcome_of(search: Search, seconds: float) -> Outcome:
    """What the trials in the search's folder came to; writes ``best.yaml``.

    Raises:
        BudgetError: no trial is finished yet, or none that keeps its goals, and others could be.
        GoalMissed: every finished one breaks a goal.
        TrainingError: none could be trained.
    """
    folder, task = search.folder, search.task
    trials = load_trials(folder)
    rises = search.higher_is_better
    best = search.winner()
    unfinished = len(search.study().running())
    if best is None:
        raise _nothing_finished(trials, seconds, unfinished)
    metric = task.metrics[0]
    own = next((one for one in trials if one.why == "the task as it stands"), None)
    compared = own is not None and own.fate is Fate.FINISHED and own.number != best.number

    def answers(trial: Trial) -> Sequence[Prediction]:
        place = trial_folder(folder, trial.number) / "evaluation" / "validation"
        return load_evaluation(place).predictions

    gain = difference(answers(own), answers(best), metric) if compared and own else None
    test, test_gain = _on_test(search, best, own if compared else None)
    run = RunFolder(trial_folder(folder, best.number))
    write_atomic(folder / BEST_FILE, dump_task(load_task(run.task), folder))
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
        measurements=max(len(one.marks) for one in trials),
        unfinished=unfinished,
        passed=search.transfer.passed,
    )


def _nothing_finished(trials: Sequence[Trial], seconds: float, unfinished: int) -> Exception:
    broken = [f"trial {one.number}: {one.broken[0]}" for one in trials if one.broken]
    if unfinished or not trials:
        what = (
            f"no finished trial keeps its goals; {broken[0]}" if broken else "no trial is finished"
        )
        return BudgetError(
            f"after {seconds / 60:.3g} minutes {what}; the same command with more minutes goes on "
            "where it was"
        )
    last = trials[-1]
    if broken:
        return GoalMissed(f"every finished trial breaks a goal; {broken[0]}")
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
        found = search.workbench.evaluate(task, rows, load_adapter(run.adapter()))
        save_evaluation(found, run.evaluation)  # as every run has it: it may become a version
        measured.append(found)
    test = measured[0].metrics[metric]
    if len(measured) < 2:
        return test, None
    return test, difference(measured[1].predictions, measured[0].predictions, metric)


def write_reports(outcome: Outcome, folder: Path) -> None:
    """Write :data:`REPORTS`."""
    value: dict[str, Any] = outcome.to_dict()
    text = json.dumps(value, ensure_ascii=False, indent=1, default=str)
    contents = text + "\n", render_markdown(outcome), render_html(outcome)
    for name, content in zip(REPORTS, contents, strict=True):
        write_atomic(folder / name, content)
