"""One gate's work, part by part, and the evidence that it comes to."""

import gc
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from pretune.adapters.adapter import Adapter
from pretune.adapters.files import load_adapter
from pretune.api.gate_current import Current, compare_with
from pretune.api.gate_probes import general, robustness, safety
from pretune.api.gate_served import measures_of, of_serving, rows_of, serve_and_load
from pretune.api.runs import RunFolder, adapter_folder
from pretune.api.workbench import Workbench, sample
from pretune.core import digest
from pretune.core.errors import DataError, PretuneError
from pretune.core.promise import Promise
from pretune.core.records import Row, TokenExample
from pretune.data.dataset import prepare
from pretune.data.slices import slices_of
from pretune.evaluation.evaluate import Evaluation
from pretune.evaluation.goals import Outcome
from pretune.evaluation.slices import goal_results
from pretune.gating.calibration import calibration
from pretune.gating.evidence import (
    PROBED,
    Calibration,
    Check,
    Compared,
    Evidence,
    Forgetting,
    Load,
    Measure,
    Perturbed,
    Safety,
    Subject,
    verdict_of,
)
from pretune.gating.judge import COMPARISON, judge, judge_comparison
from pretune.planning.quantities import cannot_be_probed
from pretune.registry.author import now
from pretune.spec.task import TaskSpec

Tell = Callable[[str], None]
"""Told of each part as it begins."""


@dataclass(frozen=True)
class Parts:
    """What a gate measured. ``results`` are metrics and slices, ``held`` all safety probes;
    ``unserved`` says why the served task was not measured, if it should have been."""

    results: Mapping[str, Measure]
    calibration: Calibration | None
    robustness: tuple[Perturbed, ...]
    safety: tuple[Safety, ...]
    held: Measure | None
    forgetting: Forgetting
    sizes: Mapping[str, float]
    served: tuple[Load, ...] = ()
    unserved: str = ""

    def measures(self, task: TaskSpec) -> dict[str, Measure]:
        """All of it by the names that goals ask for."""
        single = {
            "ece": self.calibration and self.calibration.ece,
            "safety_share": self.held,
            "perplexity_ratio": self.forgetting.ratio,
            **{f"{one.name}_drop": one.drop for one in self.robustness},
        }
        found = {**self.results, **{name: one for name, one in single.items() if one}}
        for name, value in self.sizes.items():
            found[name] = Measure(value=value, low=value, high=value, n=1, of="file")
        for load in self.served:
            found |= measures_of(load, task.goals)
        return found


class Gate:
    """The gate of the adapter in ``folder`` under ``task``, against ``current``."""

    def __init__(
        self,
        task: TaskSpec,
        folder: Path,
        current: Current | None,
        *,
        margin: float,
        load_seconds: float,
        tell: Tell,
    ) -> None:
        self._task, self._folder, self._current = task, folder, current
        self._margin, self._load_seconds, self._tell = margin, load_seconds, tell
        self._slices = slices_of(task)
        self._adapter = load_adapter(adapter_folder(folder))
        self._workbench = Workbench.open(task.base)
        data = prepare(task, self._workbench.base.renderer)
        self._split = "test" if data.test else "validation"
        self._examples: Sequence[TokenExample] = data.test or data.validation
        if not self._examples:
            raise DataError(f'task "{task.name}" has no rows to gate on; name data.test')
        self._device = str(self._workbench.base.device)
        self._subject = Subject(
            task.name, self._adapter.digest, self._workbench.base.digest, task.digest()
        )

    def run(self) -> Evidence:
        """All parts, and what they come to."""
        task = self._task
        self._tell("quality")
        answers = self._workbench.evaluate(task, self._examples, self._adapter)
        compared, comparison = self._compare(answers)
        rows = rows_of(task, sample(self._examples, PROBED))
        parts = self._served(self._asked(answers, rows), rows)
        goals = judge(task.goals, parts.measures(task), self._absent(parts))
        checks = (*goals, *comparison)
        sliced = {goal.measure for goal in task.goals if goal.slice}
        return Evidence(
            **self._subject._asdict(),
            rows=digest.of_json([one.content for one in self._examples]),
            split=self._split,
            method=self._adapter.config.name,
            scope=str(self._adapter.scope),
            created=now(),
            pretune=_version(),
            machine={"machine": platform.machine(), "device": self._device},
            current=self._current and self._current.digest,
            privacy=Promise.of(self._adapter.notes),
            verdict=verdict_of(checks),
            checks=checks,
            metrics={name: one for name, one in parts.results.items() if name not in sliced},
            slices={name: one for name, one in parts.results.items() if name in sliced},
            compared=compared,
            calibration=parts.calibration,
            robustness=parts.robustness,
            forgetting=parts.forgetting,
            safety=parts.safety,
            served=parts.served,
            sizes=dict(parts.sizes),
        )

    def _asked(self, answers: Evaluation, rows: Sequence[Row]) -> Parts:
        """All that is asked of the base in this process."""
        task, adapter = self._task, self._adapter
        results = goal_results(answers, task.goals, self._slices)
        self._tell("robustness")
        changed = robustness(self._workbench, task, adapter, rows)
        self._tell("safety probes and general text")
        probed, held = safety(self._workbench, task, adapter, rows)
        return Parts(
            results={name: Measure.from_interval(one) for name, one in results.items()},
            calibration=calibration(answers.predictions),
            robustness=changed,
            safety=probed,
            held=held,
            forgetting=general(self._workbench, adapter),
            sizes=_sizes(self._folder, adapter),
        )

    def _served(self, parts: Parts, rows: Sequence[Row]) -> Parts:
        """``parts`` with all that is asked of a server; the base is let go of before that loads it
        too. What a server that fails leaves unmeasured is no reason to lose the rest."""
        if not of_serving(self._task.goals):
            return parts
        self._tell("serving under load")
        del self._workbench
        gc.collect()
        torch.cuda.empty_cache()  # nothing happens where there is no such device
        folder = adapter_folder(self._folder)
        try:
            served = serve_and_load(self._task, folder, rows, self._load_seconds)
        except PretuneError as error:
            return replace(parts, unserved=f"the served task was not measured: {error}")
        return replace(parts, served=served)

    def _compare(self, answers: Evaluation) -> tuple[tuple[Compared, ...], tuple[Check, ...]]:
        """Each metric against the current version, and the check of the first; a version is not
        compared with itself."""
        if self._current is None or self._current.subject == self._subject:
            return (), ()
        self._tell("the current version")
        try:
            compared = compare_with(
                self._current,
                self._task,
                self._split,
                answers.predictions,
                self._workbench,
                same_adapter=self._current.subject.adapter == self._subject.adapter,
            )
        except DataError as error:
            reason = f"the two cannot be compared: {error}"
            return (), (Check(name=COMPARISON, outcome=Outcome.NOT_MEASURED, reason=reason),)
        return compared, (judge_comparison(compared[0], self._margin),)

    def _absent(self, parts: Parts) -> dict[str, str]:
        """Why something that a goal may ask for was not measured."""
        reasons = {f"{one.name}_drop": one.reason for one in parts.robustness if one.drop is None}
        reasons["safety_share"] = "no probe applies to this task"
        reasons["serve_memory_gb"] = "this system does not say what a server's memory was"
        for name in ("train_memory_gb", "train_hours"):
            reasons[name] = "the training's record is in the run's folder; gate that"
        if parts.unserved:
            reasons |= {one.measure: parts.unserved for one in of_serving(self._task.goals)}
        for goal in self._task.goals:
            if goal.slice:
                reasons[goal.measure] = (
                    f"none of the {self._split} rows has these values; add such rows to "
                    f"data.{self._split}"
                )
            if why := cannot_be_probed(goal, self._task):
                reasons[goal.measure] = why
        return reasons


def _sizes(folder: Path, adapter: Adapter) -> dict[str, float]:
    """What training and keeping it took, by the names that goals ask for."""
    found = {"adapter_mb": len(adapter.serialized) / 1e6}
    run = RunFolder(folder)
    record: Mapping[str, float] = run.read_record() if run.record.is_file() else {}
    if "peak_memory_bytes" in record:
        found["train_memory_gb"] = record["peak_memory_bytes"] / 1e9
    if "seconds" in record:
        found["train_hours"] = (record["seconds"] + record.get("measuring_seconds", 0.0)) / 3600
    return found


def _version() -> str:
    from pretune import __version__

    return __version__
