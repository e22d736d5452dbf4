"""The gate: all that is asked of an adapter before it may answer, and the evidence of it."""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pretune.adapters.adapter import Adapter
from pretune.adapters.files import load_adapter
from pretune.api.gate_probes import general, robustness, safety
from pretune.api.gate_served import measures_of, of_serving, serve_and_load
from pretune.api.registry import anywhere
from pretune.api.runs import RunFolder, adapter_folder
from pretune.api.workbench import Workbench, sample
from pretune.core import digest
from pretune.core.errors import DataError, SpecError, StorageError
from pretune.core.files import write_atomic
from pretune.core.records import Row, TokenExample
from pretune.data.dataset import prepare, read_examples
from pretune.data.slices import slices_of
from pretune.data.template import Template
from pretune.evaluation.compare import compare
from pretune.evaluation.evaluate import Evaluation
from pretune.evaluation.goals import Outcome
from pretune.evaluation.slices import check_goal_names, goal_results
from pretune.gating.calibration import calibration
from pretune.gating.evidence import (
    Check,
    Compared,
    Evidence,
    Load,
    Measure,
    Perturbed,
    Subject,
    verdict_of,
)
from pretune.gating.judge import COMPARISON, judge, judge_comparison
from pretune.gating.report.junit import render_junit
from pretune.gating.report.render import render_card, render_page
from pretune.planning.decide import MARGIN
from pretune.planning.quantities import cannot_be_probed
from pretune.registry import Registry
from pretune.registry.store import Author, now
from pretune.spec.task import TaskSpec

EVIDENCE_FILE = "evidence.json"
CARD_FILE = "card.md"
PAGE_FILE = "gate.html"

_PROBED = 200
"""Most rows that are asked again in other forms."""

Tell = Callable[[str], None]
"""Told of each part as it begins."""


@dataclass(frozen=True)
class GateOptions:
    """What a gate is held against.

    ``registry`` holds the version that answers today, and keeps the evidence. ``margin`` is the
    loss against it that must be ruled out. ``load_seconds``: how long each load lasts at most.
    ``why`` is a reason for the task's history.
    """

    registry: Path | None = None
    margin: float = MARGIN
    load_seconds: float = 60.0
    why: str = ""


@dataclass(frozen=True)
class Gated:
    """What a gate found; ``version`` is the one whose history keeps it, ``None`` if none does."""

    evidence: Evidence
    version: str | None = None

    def save(self, folder: Path) -> None:
        """Write ``evidence.json``, the model card and the page to ``folder``."""
        write_atomic(folder / CARD_FILE, render_card(self.evidence))
        write_atomic(folder / PAGE_FILE, render_page(self.evidence))
        write_atomic(folder / EVIDENCE_FILE, self.evidence.file())

    def save_junit(self, path: Path) -> None:
        """Write JUnit's XML to ``path``."""
        write_atomic(path, render_junit(self.evidence))


def gate(
    task: TaskSpec,
    adapter: Path | str,
    options: GateOptions | None = None,
    *,
    tell: Tell = lambda _: None,
) -> Gated:
    """Measure all that ``task`` promises of ``adapter``, and say whether it may answer.

    ``adapter`` is an adapter's folder, a run's, or with a registry a version's digest or the
    beginning of it. A registry is changed once, at the end: the evidence is kept with the version
    that has this adapter under this spec, if there is one.

    Raises:
        UnknownName: a goal on what nobody measures, a column that no row has, no such version.
        SpecError: goals that cannot be met, slices without rows, a version with another spec.
        DataError: no held-out rows.
        AdapterError: the adapter is damaged or belongs to another base.
        StorageError: no registry there.
    """
    options = options or GateOptions()
    spec = anywhere(task)
    check_goal_names(spec.goals)
    registry = None if options.registry is None else Registry(options.registry)
    folder, version = _find(spec, adapter, registry)
    found = Gate(spec, folder, _current(spec, registry), options, tell).run()
    if registry is None:
        return Gated(found)
    version = version or registry.version_of(spec.name, found.subject)
    if version is not None:
        registry.gate(spec.name, version, found, Author.of_process(options.why))
    return Gated(found, version)


@dataclass(frozen=True)
class Current:
    """The version that answers today."""

    digest: str
    spec: TaskSpec
    folder: Path
    subject: Subject


class Gate:
    """One gate's work; each part is a method."""

    def __init__(
        self,
        task: TaskSpec,
        folder: Path,
        current: Current | None,
        options: GateOptions,
        tell: Tell,
    ) -> None:
        self._task, self._folder, self._options, self._tell = task, folder, options, tell
        self._slices = slices_of(task)
        self._adapter = load_adapter(adapter_folder(folder))
        self._workbench = Workbench.open(task.base)
        data = prepare(task, self._workbench.base.renderer)
        self._split = "test" if data.test else "validation"
        self._examples: Sequence[TokenExample] = data.test or data.validation
        if not self._examples:
            raise DataError(f'task "{task.name}" has no rows to gate on; name data.test')
        self._subject = Subject(
            task.name, self._adapter.digest, self._workbench.base.digest, task.digest()
        )
        # A version is not compared with itself.
        same = current is not None and current.subject == self._subject
        self._current = None if same else current
        self._standing = current and current.digest

    def run(self) -> Evidence:
        """All parts, and what they come to."""
        task, adapter = self._task, self._adapter
        self._tell("quality")
        answers = self._workbench.evaluate(task, self._examples, adapter)
        results = {
            name: Measure.from_interval(one)
            for name, one in goal_results(answers, task.goals, self._slices).items()
        }
        compared, comparison = self._compare(answers)
        calibrated = calibration(answers.predictions)
        self._tell("robustness")
        rows = self._rows(sample(self._examples, _PROBED))
        robust = robustness(self._workbench, task, adapter, rows)
        self._tell("safety probes and general text")
        probed, held = safety(self._workbench, task, adapter, rows)
        bent = general(self._workbench, adapter)
        served = self._serve(rows)
        sizes = _sizes(self._folder, adapter)
        drops = {f"{one.name}_drop": one.drop for one in robust}
        others = {
            "ece": calibrated and calibrated.ece,
            "safety_share": held,
            "perplexity_ratio": bent.ratio,
            **drops,
        }
        counted = {n: Measure(value=v, low=v, high=v, n=1, of="file") for n, v in sizes.items()}
        measures = results | {name: one for name, one in others.items() if one} | counted
        for load in served:
            measures |= measures_of(load, task.goals)
        checks = (*judge(task.goals, measures, self._absent(robust)), *comparison)
        sliced = {name for name in results if " where " in name}
        return Evidence(
            **self._subject._asdict(),
            rows=digest.of_json([one.content for one in self._examples]),
            split=self._split,
            method=adapter.config.name,
            scope=str(adapter.scope),
            created=now(),
            pretune=_version(),
            machine={"machine": platform.machine(), "device": str(self._workbench.base.device)},
            current=self._standing,
            verdict=verdict_of(checks),
            checks=checks,
            metrics={name: one for name, one in results.items() if name not in sliced},
            slices={name: one for name, one in results.items() if name in sliced},
            compared=compared,
            calibration=calibrated,
            robustness=robust,
            forgetting=bent,
            safety=probed,
            served=served,
            sizes=sizes,
        )

    def _compare(self, answers: Evaluation) -> tuple[tuple[Compared, ...], tuple[Check, ...]]:
        """Each metric against the current version on the same rows, and the check of the first."""
        if self._current is None:
            return (), ()
        self._tell("the current version")
        spec = self._current.spec.model_copy(update={"data": self._task.data})
        try:
            before = self._answers_of_current(spec)
            known = {one.row_id for one in before.predictions}
            shared = {one.row_id for one in answers.predictions} & known
            differences = compare(
                [one for one in before.predictions if one.row_id in shared],
                [one for one in answers.predictions if one.row_id in shared],
                self._task.metrics,
            )
        except DataError as error:
            reason = f"the two cannot be compared: {error}"
            return (), (Check(name=COMPARISON, outcome=Outcome.NOT_MEASURED, reason=reason),)
        compared = tuple(
            Compared(
                metric=one.metric,
                current=one.first,
                new=one.second,
                delta=Measure.from_interval(one.delta),
                p=one.p,
                verdict=str(one.verdict),
            )
            for one in differences
        )
        return compared, (judge_comparison(compared[0], self._options.margin),)

    def _answers_of_current(self, spec: TaskSpec) -> Evaluation:
        """The current version under its own spec, on the rows that this one is gated on."""
        assert self._current is not None
        workbench = self._workbench
        if self._current.subject.base != workbench.base.digest:
            workbench = Workbench.open(spec.base)
        data = prepare(spec, workbench.base.renderer)
        rows = data.test if self._split == "test" else data.validation
        return workbench.evaluate(spec, rows, load_adapter(self._current.folder))

    def _rows(self, examples: Sequence[TokenExample]) -> list[Row]:
        """The rows that ``examples`` were made of, in the order of the files."""
        wanted = {one.row_id for one in examples}
        read = read_examples(self._task, Template(self._task))
        return [row for _, row, _ in read if row is not None and row.id in wanted]

    def _serve(self, rows: Sequence[Row]) -> tuple[Load, ...]:
        if of_serving(self._task.goals):
            self._tell("serving under load")
        folder = adapter_folder(self._folder)
        return serve_and_load(self._task, folder, rows, self._options.load_seconds)

    def _absent(self, robust: Sequence[Perturbed]) -> dict[str, str]:
        """Why something that a goal may ask for was not measured."""
        reasons = {f"{one.name}_drop": one.reason for one in robust if one.drop is None}
        reasons["safety_share"] = "no probe applies to this task"
        reasons["serve_memory_gb"] = "this system does not say what a server's memory was"
        for name in ("train_memory_gb", "train_hours"):
            reasons[name] = "the training's record is in the run's folder; gate that"
        for goal in self._task.goals:
            if goal.slice:
                reasons[goal.measure] = (
                    f"none of the {self._split} rows has these values; add such rows to "
                    f"data.{self._split}"
                )
            if why := cannot_be_probed(goal, self._task):
                reasons[goal.measure] = why
        return reasons


def _find(
    task: TaskSpec, adapter: Path | str, registry: Registry | None
) -> tuple[Path, str | None]:
    """The folder of ``adapter``, and the version if it was named by that."""
    if Path(adapter).is_dir():
        return Path(adapter), None
    if registry is None:
        raise StorageError(
            f'"{adapter}" is no folder; name a run, an adapter, or a version with --registry'
        )
    state = registry.task(task.name)
    name = registry.find(state, str(adapter))
    version = registry.version(name)
    if version.task_spec.digest() != task.digest():
        raise SpecError(
            f"version {name[: digest.SHORT]} has another spec than the task file; add the run "
            "under it: pretune tasks add RUN --task TASK.yaml"
        )
    return registry.adapter_folder(version), name


def _current(task: TaskSpec, registry: Registry | None) -> Current | None:
    if registry is None or task.name not in registry.names():
        return None
    name = registry.task(task.name).current
    if name is None:
        return None
    version = registry.version(name)
    spec = version.task_spec
    subject = Subject(version.task, version.adapter, version.base, spec.digest())
    return Current(name, spec, registry.adapter_folder(version), subject)


def _sizes(folder: Path, adapter: Adapter) -> dict[str, float]:
    """What training and keeping it took, by the names that goals ask for."""
    found = {"adapter_mb": len(adapter.serialized) / 1e6}
    run = RunFolder(folder)
    record: Mapping[str, float] = run.read_record() if run.record.is_file() else {}
    if "peak_memory_bytes" in record:
        found["train_memory_gb"] = record["peak_memory_bytes"] / 1e9
    if "seconds" in record:
        found["train_hours"] = record["seconds"] / 3600
    return found


def _version() -> str:
    from pretune import __version__

    return __version__
