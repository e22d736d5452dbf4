"""The training loop: steps, measurements, checkpoints, events; one for every objective."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor

from pretune.adapters.tunable import Tunable
from pretune.core.errors import BusyError, DataError, SpecError
from pretune.core.events import Event
from pretune.core.files import folder_lock
from pretune.core.names import unknown
from pretune.core.protocols import EventSink
from pretune.core.records import TokenExample
from pretune.spec.training import TrainSpec
from pretune.training.checkpoint import (
    FILE_NAME,
    Checkpoint,
    load_checkpoint,
    rng_state,
    set_rng_state,
)
from pretune.training.history import History, Measurement, StopReason, Validation
from pretune.training.identity import identity_of
from pretune.training.interrupt import Interruption, held_back
from pretune.training.memory import PeakMemory
from pretune.training.modes import trainable
from pretune.training.objective import Objective
from pretune.training.objectives.sft import SFT
from pretune.training.optimizer import peak_rate
from pretune.training.oversight import ALONE, Oversight
from pretune.training.plan import Plan, batch_size
from pretune.training.privacy import Private, Secret, moved, promise
from pretune.training.result import TrainResult
from pretune.training.schedules import rate_factor
from pretune.training.stepper import Stepped, Stepper

CHECKPOINT_SECONDS = 30.0
"""A checkpoint at least so often: what a kill can cost, for well under 1 % of the time."""


class Start(StrEnum):
    """What to do in a folder that holds a training: refuse, go on with it, or start anew."""

    NEW = "new"
    RESUME = "resume"
    OVERWRITE = "overwrite"


def check_new(folder: Path) -> None:
    """Raise BusyError if ``folder`` holds a training."""
    if (found := load_checkpoint(folder)) is not None:
        raise BusyError(
            f'folder "{folder}" already holds a training '
            f"({found.history.reason or 'not finished'}, step {found.history.step}); "
            "resume it, overwrite it, or choose another folder"
        )


def train(
    tunable: Tunable,
    examples: Sequence[TokenExample],
    spec: TrainSpec,
    folder: Path,
    *,
    objective: Objective = SFT,
    validation: Validation | None = None,
    sinks: Sequence[EventSink] = (),
    start: Start = Start.NEW,
    oversight: Oversight = ALONE,
    notes: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Train ``tunable`` on ``examples`` and leave it with the best parameters.

    Args:
        folder: holds the checkpoint, and is this training's alone while it runs.
        validation: what is measured, ``evaluations_per_epoch`` times and at the end; without it
            there is no early stop.
        sinks: are told of ``train.start``, ``train.step``, ``train.validation``,
            ``train.checkpoint``, and ``train.done`` or ``train.failed``.
        start: what to do if ``folder`` holds a training already.
        oversight: may pause the training or give it up.
        notes: go into the adapter's manifest beside its step and metrics.

    Raises:
        BusyError: ``folder`` is in use, or holds a training and ``start`` is ``NEW``.
        DataError: no examples.
        SpecError, MissingExtra: a promise of privacy that cannot be kept, or not reckoned.
        TrainingError: a loss or gradient that is not finite, nothing to learn, or a training to
            resume that was another one.
        StorageError: a checkpoint cannot be written (the earlier one is intact) or read.
    """
    if not examples:
        raise DataError("there are no training rows; look at the data report for the reasons")
    accelerator = Accelerator(cpu=tunable.injection.base.device.type == "cpu")
    main = accelerator.is_main_process
    processes, size = accelerator.num_processes, batch_size(tunable.config, spec)
    private = _private(examples, spec, size, processes)
    with (
        folder_lock(folder, "training") if main else contextlib.nullcontext(),
        held_back() as interruption,
        trainable(tunable.injection.base, gradient_checkpointing=spec.gradient_checkpointing),
    ):
        training = _Training(
            accelerator=accelerator,
            tunable=tunable,
            examples=examples,
            spec=spec,
            folder=folder,
            validation=validation,
            sinks=sinks if main else (),
            interruption=interruption,
            oversight=oversight,
            identity=identity_of(tunable, examples, spec, objective, validation, processes),
            plan=Plan(examples, spec, size, private and private.secret),
            stepper=Stepper(accelerator, tunable, objective, spec, private),
            private=private,
        )
        return training.carry_out(start, notes or {})


def _private(
    examples: Sequence[TokenExample], spec: TrainSpec, size: int, processes: int
) -> Private | None:
    """What ``spec`` promises about the rows, if anything."""
    if spec.privacy is None:
        return None
    if processes > 1:
        raise SpecError(
            f'train.privacy: a private training runs in one process, and there are "{processes}"; '
            "start it without accelerate launch"
        )
    steps = Plan(examples, spec, size).steps
    return Private(promise(spec.privacy, len(examples), size, steps), Secret(), size)


@dataclass(eq=False)
class _Training:
    """The parts of one call of :func:`train`, and what changes while it runs."""

    accelerator: Accelerator
    tunable: Tunable
    examples: Sequence[TokenExample]
    spec: TrainSpec
    folder: Path
    validation: Validation | None
    sinks: Sequence[EventSink]
    interruption: Interruption
    oversight: Oversight
    identity: Mapping[str, Any]
    plan: Plan
    stepper: Stepper
    private: Private | None
    history: History = field(default_factory=History)
    best: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._memory = PeakMemory(self.tunable.injection.base.device)
        self._began = self._saved = time.monotonic()
        self._first = 0
        self._start = self.tunable.state() if self.private else {}

    def carry_out(self, start: Start, notes: Mapping[str, Any]) -> TrainResult:
        """All of it; whoever heard of its start hears of its end, and of a failure."""
        self.begin(start)
        try:
            self.tell_start()
            reason = self.run()
        except BaseException as error:
            self.tell("train.failed", error=type(error).__name__)
            raise
        return self.result(reason, notes)

    def begin(self, start: Start) -> None:
        """Take up what ``folder`` holds, or start."""
        if start is Start.OVERWRITE and self.accelerator.is_main_process:
            (self.folder / FILE_NAME).unlink(missing_ok=True)
        if start is Start.NEW and self.accelerator.is_main_process:
            check_new(self.folder)
        found = load_checkpoint(self.folder) if start is Start.RESUME else None
        if found is not None:
            found.check(self.identity)
            self.history = found.history
            self.tunable.load(dict(found.tensors["parameters"]))
            self.stepper.load(found.tensors.get("optimizer", {}))
            self.best = found.tensors.get("best", {})
            if self.private and "private" in found.tensors:
                self.private.secret.load(found.tensors["private"])
            set_rng_state(found.tensors["rng"], self.tunable.injection.base.device)
        self._first = self.history.step

    def tell_start(self) -> None:
        """Emit what the training is."""
        self.tell(
            "train.start",
            method=self.tunable.config.name,
            scope=str(self.tunable.scope),
            rows=len(self.examples),
            steps=self.plan.steps,
            steps_per_epoch=self.plan.steps_per_epoch,
            parameters=sum(p.numel() for p in self.tunable.parameters.values()),
            watch=self.validation.watch if self.validation else None,
            **({"privacy": self.private.promise.to_dict()} if self.private else {}),
        )

    def run(self) -> StopReason:
        """Steps until a reason to stop; the last thing is a checkpoint."""
        history = self.history
        while history.reason is None:
            if self._asked_to_stop():
                self._save()
                return StopReason.INTERRUPTED
            measured = self._measure_if_due()
            history.reason = self._reason()
            due = time.monotonic() - self._saved > CHECKPOINT_SECONDS
            if measured or due or history.reason:
                self._save()
            if history.reason is None:
                self._step()
        return history.reason

    def result(self, reason: StopReason, notes: Mapping[str, Any]) -> TrainResult:
        """Load the best parameters, build the adapter, and tell the end."""
        history = self.history
        if self.best:
            self.tunable.load(dict(self.best))
        best = self.validation.best(history.measurements) if self.validation else None
        found = best or Measurement(history.step, {})
        if self.private and history.step:
            far = moved(self._start, self.tunable.live())
            notes = {**notes, "privacy": {**self.private.promise.to_dict(), "moved": far}}
        adapter = self.tunable.adapter(
            **{"step": found.step, "metrics": dict(found.metrics), **notes}
        )
        result = TrainResult(
            adapter=adapter,
            reason=reason,
            steps=history.step,
            epochs=history.step / self.plan.steps_per_epoch,
            seconds=history.seconds,
            measuring=history.measuring,
            tokens_per_second=history.tokens / history.seconds if history.seconds else 0.0,
            peak_memory=self._memory.read(),
            curve=tuple(history.curve),
            measurements=tuple(history.measurements),
            best=best,
        )
        self.tell(
            "train.done",
            reason=str(reason),
            best_step=found.step,
            metrics=dict(found.metrics),
            seconds=result.seconds,
            tokens_per_second=result.tokens_per_second,
            peak_memory=result.peak_memory,
        )
        return result

    def tell(self, kind: str, **values: Any) -> None:
        """Emit an event of the current step."""
        for sink in self.sinks:
            sink.emit(Event(kind, self.history.step, values))

    def _step(self) -> None:
        began, history = time.monotonic(), self.history
        rows = [self.examples[i] for i in self.plan.rows(history.step)]
        factor = rate_factor(self.spec, history.step, self.plan.steps)
        done: Stepped = self.stepper.step(rows, factor, history.step + 1)
        now = time.monotonic()
        history.step += 1
        history.seconds += now - began
        history.tokens += done.tokens
        history.curve.append(done.loss)
        per_step = (now - self._began) / (history.step - self._first)
        self.tell(
            "train.step",
            loss=done.loss,
            **done.values,
            lr=peak_rate(self.tunable, self.spec) * factor,
            grad_norm=done.grad_norm,
            tokens_per_second=done.tokens / (now - began),
            eta_s=per_step * (self.plan.steps - history.step),
        )

    def _measure_if_due(self) -> bool:
        """Measure unless it was done before an interruption; what it draws at random is undone."""
        history = self.history
        if self.validation is None or not self.plan.measures(history.step) or history.measured():
            return False
        device, began = self.tunable.injection.base.device, time.monotonic()
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            metrics = self._agreed(self.validation.measure())
        history.measuring += time.monotonic() - began
        if self.validation.watch not in metrics:
            raise unknown("metric", self.validation.watch, metrics)
        history.measurements.append(Measurement(history.step, metrics))
        if self.validation.best(history.measurements) is history.measurements[-1]:
            self.best = self.tunable.state()
        self.tell("train.validation", **metrics)
        return True

    def _agreed(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """``metrics`` as the main process measured them: devices may round differently, and all
        processes must draw the same conclusions."""
        values = torch.tensor([float(value) for value in metrics.values()], dtype=torch.float64)
        agreed = broadcast(values.to(self.accelerator.device))
        return dict(zip(metrics, agreed.tolist(), strict=True))

    def _reason(self) -> StopReason | None:
        if self.history.step >= self.plan.steps:
            return StopReason.FINISHED
        if self.validation is None:
            return None
        measurements = self.history.measurements
        if self.validation.stale(measurements) >= self.spec.patience:
            return StopReason.EARLY
        given_up = self.history.measured() and self.oversight.give_up(measurements)
        return StopReason.GIVEN_UP if given_up else None

    def _asked_to_stop(self) -> bool:
        """Whether any process was; they must all stop at the same step."""
        asked = self.interruption.requested or self.oversight.pause()
        if self.accelerator.num_processes > 1:
            flag = torch.tensor(float(asked), device=self.accelerator.device)
            return bool(self.accelerator.reduce(flag, "sum") > 0)
        return asked

    def _save(self) -> None:
        self._saved = time.monotonic()
        if not self.accelerator.is_main_process:
            return
        tensors = {
            "parameters": self.tunable.live(),
            "optimizer": self.stepper.state(),
            "best": self.best,
            "rng": rng_state(self.tunable.injection.base.device),
        }
        if self.private and not self.history.reason:
            tensors["private"] = self.private.secret.state()
        Checkpoint(self.identity, self.history, tensors).save(self.folder)
        self.tell("train.checkpoint", path=str(self.folder / FILE_NAME))
