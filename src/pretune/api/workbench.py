"""A workbench: one base in memory, and what can be done with tasks on it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from pretune.adapters.adapter import Adapter
from pretune.adapters.files import adapter_path, load_adapter, save_adapter
from pretune.adapters.injection import Injection
from pretune.adapters.tunable import TUNED, tuning
from pretune.api.objectives import objective_of
from pretune.api.runs import RunFolder, adapter_folder
from pretune.bases import Base, load_base
from pretune.core.digest import SHORT, of_json
from pretune.core.errors import DataError
from pretune.core.events import Event
from pretune.core.files import folder_lock, write_atomic
from pretune.core.protocols import EventSink
from pretune.core.records import Request, Row, TokenExample
from pretune.data.dataset import TaskData, option_ids, prepare, prompt_of
from pretune.data.rejected import Rejected
from pretune.engine.batch import BatchEngine
from pretune.evaluation.evaluate import Evaluation, Predict, evaluate
from pretune.evaluation.metrics import get_metrics
from pretune.evaluation.scorers import LabelOption, predict_by_generation, predict_by_scoring
from pretune.spec.base import BaseSpec
from pretune.spec.dump import dump_task
from pretune.spec.task import TaskSpec
from pretune.training.history import Validation
from pretune.training.identity import data_digest
from pretune.training.loop import Start, check_new, train
from pretune.training.oversight import ALONE, Oversight
from pretune.training.processes import is_main
from pretune.training.result import TrainResult
from pretune.training.sinks.jsonl import JsonLines
from pretune.training.sinks.tensorboard import TensorBoard

Progress = Callable[[int], None]


class Question(NamedTuple):
    """A row of a task, to be answered by the adapter mounted as ``adapter``; ``None``: the base."""

    task: TaskSpec
    fields: Mapping[str, Any]
    adapter: str | None


class Answer(NamedTuple):
    """Generated ``text``; ``label`` is the label whose words it is, if any."""

    text: str
    label: str | None


@dataclass(frozen=True)
class TrainedRun:
    """A training: its folder, its adapter, and what was measured on the way."""

    folder: RunFolder
    adapter: Adapter
    adapter_folder: Path
    result: TrainResult
    data: TaskData

    def record(self) -> dict[str, Any]:
        """What ``run.json`` says, as JSON values."""
        result, privacy = self.result, self.adapter.notes.get("privacy")
        return {
            "task": self.adapter.notes["task"],
            "adapter": str(self.adapter_folder.relative_to(self.folder.path)),
            "digest": self.adapter.digest,
            "method": self.adapter.config.name,
            "scope": str(self.adapter.scope),
            "trainable_parameters": self.adapter.parameters,
            "adapter_bytes": len(self.adapter.serialized),
            "reason": str(result.reason),
            "steps": result.steps,
            "best_step": result.best.step if result.best else result.steps,
            "validation": dict(result.best.metrics) if result.best else {},
            "seconds": round(result.seconds, 2),
            "measuring_seconds": round(result.measuring, 2),
            "tokens_per_second": round(result.tokens_per_second),
            "peak_memory_bytes": result.peak_memory,
            **({"privacy": privacy} if privacy else {}),
        }


class Workbench:
    """One loaded base with everything mounted on it. Not thread-safe."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self.injection = Injection(base)
        self.engine = BatchEngine(self.injection, base.renderer.end_ids)

    @classmethod
    def open(cls, spec: BaseSpec, device: str | None = None) -> "Workbench":
        """Load the base that a task names, on ``device`` or the accelerator if there is one."""
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        return cls(
            load_base(
                spec.name,
                spec.precision,
                device=device,
                allow_download=spec.allow_download,
                revision=spec.revision,
            )
        )

    @contextmanager
    def mounted(self, **adapters: Adapter | None) -> Iterator[None]:
        """Mount ``adapters`` by name in this block; ``None`` mounts nothing."""
        names: list[str] = []
        try:
            for name, adapter in adapters.items():
                if adapter is not None:
                    self.injection.mount(name, adapter)
                    names.append(name)
            yield
        finally:
            for name in names:
                self.injection.unmount(name)

    def predictor(
        self, task: TaskSpec, adapter: str | None, progress: Progress | None = None
    ) -> Predict:
        """How ``task`` answers: by its labels' probabilities, or by generation."""
        if task.labels is None:
            return partial(
                predict_by_generation,
                self.engine,
                decode=self.base.renderer.decode,
                max_new_tokens=task.generate.max_new_tokens,
                adapter=adapter,
                progress=progress,
            )
        ids = option_ids(task, self.base.renderer)
        options = [
            LabelOption(label, words, tokens)
            for (label, words), tokens in zip(task.labels.items(), ids, strict=True)
        ]
        return partial(
            predict_by_scoring, self.engine, options=options, adapter=adapter, progress=progress
        )

    def evaluate(
        self,
        task: TaskSpec,
        examples: Sequence[TokenExample],
        adapter: Adapter | None = None,
        progress: Progress | None = None,
    ) -> Evaluation:
        """Answer ``examples`` with ``adapter`` or the bare base, and measure the answers."""
        name = None if adapter is None else "evaluated"
        with self.mounted(evaluated=adapter):
            return evaluate(
                task.name,
                examples,
                self.predictor(task, name, progress),
                task.metrics,
                adapter=None if adapter is None else adapter.digest,
            )

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """Answer rows of any mix of tasks and mounted adapters in one batch.

        Raises:
            DataError: a row that lacks a column, or is too long for the base.
        """
        requests = [self._request(index, question) for index, question in enumerate(questions)]
        completions = self.engine.generate(requests)
        texts = [self.base.renderer.decode(completion.ids) for completion in completions]
        return [
            Answer(text, _label_of(question.task, text))
            for question, text in zip(questions, texts, strict=True)
        ]

    def _request(self, index: int, question: Question) -> Request:
        row = Row(f"question:{index + 1}", question.fields)
        prompt = prompt_of(question.task, self.base.renderer, row)
        if isinstance(prompt, Rejected):
            raise DataError(f"{prompt.row_id}: {prompt.detail}")
        most = question.task.generate.max_new_tokens
        return Request(row.id, prompt.prompt, question.adapter, most)

    def train(
        self,
        task: TaskSpec,
        folder: Path,
        *,
        data: TaskData | None = None,
        sinks: Sequence[EventSink] = (),
        start: Start = Start.NEW,
        oversight: Oversight = ALONE,
    ) -> TrainedRun:
        """Tune an adapter for ``task`` and keep everything in ``folder``.

        The best parameters by the task's first metric on (a sample of) the validation rows become
        the adapter. ``sinks`` hear of it beside the logs that every run writes; ``oversight`` may
        end it.

        Under ``accelerate launch`` every process calls this; the main one alone locks and writes
        ``folder`` and tells ``sinks``.

        Raises:
            DataError: nothing to learn from.
            AdapterError: what the task is to begin with does not fit it.
            BusyError: ``folder`` is in use, or holds a training and ``start`` is ``NEW``.
            TrainingError: the loss is not finite, nothing can be learned, or the training to go on
                with was another one.
        """
        run = RunFolder(folder)
        main = is_main(self.base.device)
        with folder_lock(folder, "training") if main else nullcontext():
            # Before anything is written: what another run left here must stay as it is.
            if main and start is Start.NEW:
                check_new(run.training)
            data = data or prepare(task, self.base.renderer, run.data if main else None)
            logs: tuple[EventSink, ...] = ()
            if main:
                for sink in sinks:
                    sink.emit(Event("data.report", values=data.report.to_dict()))
                kept = _Described(task, run, data)
                logs = (kept, JsonLines(run.log), TensorBoard(run.tensorboard))
            result = self._tune(task, run, data, (*logs, *sinks), start, oversight)
            saved = adapter_path(result.adapter, run.adapters)
            trained = TrainedRun(run, result.adapter, saved, result, data)
            if main:
                save_adapter(result.adapter, run.adapters)
                run.write_record(trained.record())
        return trained

    def _tune(
        self,
        task: TaskSpec,
        run: RunFolder,
        data: TaskData,
        sinks: Sequence[EventSink],
        start: Start,
        oversight: Oversight,
    ) -> TrainResult:
        text, seed = start_text(task), task.train.seed
        # Who knows all rows but one could try that one until the digest of all of them fits.
        digest = None if task.train.privacy else data.digest
        objective = objective_of(task, self.base.renderer, data.train)
        with tuning(self.injection, task.method, task.scope, text=text, seed=seed) as tunable:
            if task.begin_with is not None:
                tunable.begin_with(load_adapter(adapter_folder(task.begin_with)))
            notes = {"task": task.name, "data": digest, "spec": task.digest()}
            begun = {"begun_with": tunable.begun_with} if tunable.begun_with else {}
            return train(
                tunable,
                data.train,
                task.train,
                run.training,
                objective=objective,
                validation=self._validation(task, data.validation),
                sinks=sinks,
                start=start,
                oversight=oversight,
                notes=notes | begun,
            )

    def _validation(self, task: TaskSpec, examples: Sequence[TokenExample]) -> Validation:
        """The task's own metrics on a stable sample, as served."""
        rows = sample(examples, task.train.evaluation_rows)
        metrics = get_metrics(task.metrics)
        predict = self.predictor(task, TUNED)

        def measure() -> dict[str, float]:
            predictions = predict(rows)
            return {metric.name: metric.corpus(predictions) for metric in metrics}

        main, digest = metrics[0], data_digest(rows)[:SHORT]
        return Validation(measure, main.name, main.higher_is_better, digest)


@dataclass(frozen=True)
class _Described:
    """Writes what a training is about as it starts: one that is refused leaves what was there. What
    another training came to is taken away then, as it says nothing of the one that starts."""

    task: TaskSpec
    run: RunFolder
    data: TaskData

    def emit(self, event: Event) -> None:
        if event.kind != "train.start":
            return
        if not event.step:
            self.run.record.unlink(missing_ok=True)
        report = self.data.report.to_dict()
        write_atomic(self.run.data / "report.json", json.dumps(report, indent=1) + "\n")
        write_atomic(self.run.task, dump_task(self.task, self.run.path))


def _label_of(task: TaskSpec, text: str) -> str | None:
    return next((label for label, words in (task.labels or {}).items() if words == text), None)


def start_text(task: TaskSpec) -> str | None:
    """What soft tokens and prefixes start from: the instruction and the labels' words."""
    parts = [task.template.system or "", ", ".join((task.labels or {}).values())]
    return "\n".join(part for part in parts if part) or None


def sample(examples: Sequence[TokenExample], most: int) -> list[TokenExample]:
    """At most ``most`` of ``examples``, chosen by content: the same whatever else there is."""
    if len(examples) <= most:
        return list(examples)
    return sorted(examples, key=lambda one: of_json([s.ids for s in one.segments]))[:most]
