"""The demo: six finance tasks tuned, measured against base and plain LoRA, answered together."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pretune.adapters.adapter import Adapter
from pretune.api.served import Reply, serving
from pretune.api.workbench import Answer, Question, TrainedRun, Workbench
from pretune.core.files import write_atomic
from pretune.core.promise import Promise
from pretune.core.protocols import EventSink
from pretune.core.scope import Scope
from pretune.data.dataset import TaskData, prepare
from pretune.data.rejected import Rejected
from pretune.data.sources import read_rows
from pretune.evaluation.evaluate import Evaluation
from pretune.evaluation.goals import check_goals
from pretune.evaluation.intervals import Interval
from pretune.evaluation.report.records import Report, RunSummary, read_loss
from pretune.evaluation.report.render import render_html, render_markdown
from pretune.spec.task import TaskSpec, load_task
from pretune.training.loop import Start

TASKS = Path(__file__).parent / "demo_tasks"
"""Task files and rows; ``tools/demo_data.py`` makes them."""

Tell = Callable[[str, str, Interval], None]
"""Told of each result: task, run, main metric."""


@dataclass(frozen=True)
class TunedTask:
    """A task of the demo, its data, and what each of its runs reached on the test rows."""

    spec: TaskSpec
    data: TaskData
    evaluations: dict[str, Evaluation]
    runs: dict[str, TrainedRun]


@dataclass
class Demo:
    """The demo's work in ``folder``, one step a method."""

    folder: Path
    sinks_of: Callable[[str], Sequence[EventSink]] = lambda _title: ()
    started: float = field(default_factory=time.perf_counter)
    tuned: list[TunedTask] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.specs = [load_task(path) for path in sorted(TASKS.glob("*.yaml"))]
        self.workbench = Workbench.open(self.specs[0].base)

    def tune(self, spec: TaskSpec, tell: Tell) -> None:
        """Measure the base, tune LoRA on all tokens and PrAd on the prompt, measure both."""
        data = prepare(spec, self.workbench.base.renderer)
        everywhere = spec.model_copy(update={"scope": Scope.ALL})
        task = TunedTask(spec, data, {}, {})
        task.evaluations["base"] = self.workbench.evaluate(spec, data.test)
        tell(spec.name, "base", _main(task.evaluations["base"]))
        for run, variant in (("lora_all", everywhere), ("prad", spec)):
            trained = self.workbench.train(
                variant,
                self.folder / spec.name / run,
                data=data,
                sinks=self.sinks_of(f"{spec.name}, {run}"),
                start=Start.OVERWRITE,
            )
            task.runs[run] = trained
            task.evaluations[run] = self.workbench.evaluate(spec, data.test, trained.adapter)
            tell(spec.name, run, _main(task.evaluations[run]))
        self.tuned.append(task)

    def answer_together(self) -> list[tuple[TaskSpec, dict[str, Any], Answer]]:
        """One test row of every task, answered by its own adapter, in one batch."""
        rows = [_first_test_row(task.spec) for task in self.tuned]
        adapters: dict[str, Adapter | None] = {
            task.spec.name: task.runs["prad"].adapter for task in self.tuned
        }
        with self.workbench.mounted(**adapters):
            answers = self.workbench.answer(
                [
                    Question(task.spec, row, task.spec.name)
                    for task, row in zip(self.tuned, rows, strict=True)
                ]
            )
        return [
            (task.spec, row, answer)
            for task, row, answer in zip(self.tuned, rows, answers, strict=True)
        ]

    def serve_together(self) -> list[Reply]:
        """The same rows again, all at once, over HTTP, from a server of the tuned tasks."""
        runs = [self.folder / task.spec.name / "prad" for task in self.tuned]
        with serving(runs) as server:
            return server.ask([(task.spec.name, _first_test_row(task.spec)) for task in self.tuned])

    def write_report(self) -> Path:
        """``report.json``, ``report.md`` and ``report.html``; returns the page's path."""
        report = self._report()
        write_atomic(self.folder / "report.json", json.dumps(self.record(), indent=1) + "\n")
        write_atomic(self.folder / "report.md", render_markdown(report))
        page = self.folder / "report.html"
        write_atomic(page, render_html(report))
        return page

    def record(self) -> dict[str, Any]:
        """What the demo measured, as JSON values."""
        return {
            "wall_s": round(time.perf_counter() - self.started, 1),
            "base": self.workbench.base.name,
            "base_parameters": self.workbench.base.parameters,
            "tasks": {task.spec.name: _record(task) for task in self.tuned},
        }

    def _report(self) -> Report:
        return Report(
            title="Six finance tasks on one base",
            subtitle="Untuned, plain LoRA on all tokens, and PrAd on the prompt alone; "
            "test rows of phrasings that training never saw, 95 % intervals.",
            runs=[
                _summary(task, run) for task in self.tuned for run in ("base", "lora_all", "prad")
            ],
            goals={
                task.spec.name: check_goals(task.spec.goals, task.evaluations["prad"].metrics)
                for task in self.tuned
                if task.spec.goals
            },
        )


def _main(evaluation: Evaluation) -> Interval:
    return next(iter(evaluation.metrics.values()))


def _first_test_row(spec: TaskSpec) -> dict[str, Any]:
    rows = (row for source in spec.data.test or () for row in read_rows(source))
    return next(dict(row.fields) for row in rows if not isinstance(row, Rejected))


def _record(task: TunedTask) -> dict[str, Any]:
    prad = task.runs["prad"]
    return {
        "metric": task.spec.metrics[0],
        "rows": len(task.data.test),
        **{
            run: {"value": found.value, "low": found.low, "high": found.high}
            for run, found in ((run, _main(one)) for run, one in task.evaluations.items())
        },
        "trainable_parameters": prad.adapter.parameters,
        "adapter_bytes": len(prad.adapter.serialized),
        "train_s": {run: round(one.result.seconds, 1) for run, one in task.runs.items()},
    }


def _summary(task: TunedTask, run: str) -> RunSummary:
    evaluation = task.evaluations[run]
    trained = task.runs.get(run)
    summary = RunSummary(
        task=task.spec.name,
        run=run,
        metrics=evaluation.metrics,
        labels=evaluation.labels,
        confusions=evaluation.confusions,
    )
    if trained is None:
        return summary
    return replace(
        summary,
        trainable_parameters=trained.adapter.parameters,
        adapter_bytes=len(trained.adapter.serialized),
        train_seconds=trained.result.seconds,
        peak_memory_bytes=trained.result.peak_memory,
        privacy=Promise.of(trained.adapter.notes),
        loss=read_loss(trained.folder.log),
    )
