"""The dry run: two real steps on the longest rows, in a process of its own.

Its memory is its own, so the peak is this training's; and where it would take more than there is,
that process ends and says so, instead of the training hours later.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict

from pretune.adapters.injection import Injection
from pretune.adapters.tunable import TUNED, Tunable, tuning
from pretune.bases import Base, load_base
from pretune.bases.fakes import tiny_base
from pretune.core.errors import TrainingError
from pretune.core.events import Event
from pretune.core.records import Request
from pretune.core.scope import Scope
from pretune.core.segments import Role
from pretune.engine.batch import BatchEngine
from pretune.spec.base import BaseSpec
from pretune.spec.methods import LoraConfig
from pretune.spec.training import TrainSpec
from pretune.training.estimate.speed import speed_of
from pretune.training.estimate.work import Work, made_rows
from pretune.training.history import Validation
from pretune.training.loop import train
from pretune.training.memory import PeakMemory
from pretune.training.precision import autocasts

STEPS = 2
"""The second has all that later ones have: the optimiser's state, and chosen kernels."""

_POLL = 0.05
"""Seconds between two looks at the memory."""

_MOST_NEW = 2
"""Tokens that an answer gets; what more would keep is reckoned."""


class Measured(BaseModel):
    """What a dry run found. Bytes are above what the libraries hold (``idle``) by themselves.

    ``fits`` is false where it ended at its limit: ``peak`` is then what it had come to. Of a
    machine: operations a second of products, ``speed``, and bytes a second copied, ``bandwidth``.
    """

    model_config = ConfigDict(frozen=True)

    fits: bool
    peak: int
    idle: int
    step_seconds: float = 0.0
    measuring_seconds: float = 0.0
    speed: float = 0.0
    bandwidth: float = 0.0
    device: str = "cpu"
    threads: int = 1


def dry_run(work: Work, *, device: str = "cpu", limit: int | None = None) -> Measured:
    """Train ``work`` for two steps and measure one chunk, in a process of its own.

    Of several devices one is tried, with its share of the rows.

    Args:
        limit: bytes, libraries included, at which it ends; ``None``: no limit.

    Raises:
        TrainingError: it failed for another reason than memory.
    """
    asked = {"work": work.model_dump(mode="json"), "device": device, "limit": limit}
    command = [sys.executable, "-W", "ignore", "-m", "pretune.training.estimate.dry_run"]
    done = subprocess.run(
        command, input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    if done.returncode == 0 and lines:
        return Measured.model_validate_json(lines[-1])
    if done.returncode == -9:  # the system ended it: it took more than there was
        return Measured(fits=False, peak=limit or 0, idle=0, device=device)
    said = done.stderr.strip().splitlines()
    raise TrainingError(
        f'the dry run ended with code "{done.returncode}": {said[-1] if said else "no word"}; '
        "train with a small max_steps to see the whole message"
    )


class _Clock:
    """When each step was done."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def emit(self, event: Event) -> None:
        if event.kind == "train.step":
            self.times.append(time.perf_counter())


def _main() -> None:
    asked = json.loads(sys.stdin.read())
    work = Work.model_validate(asked["work"])
    device = torch.device(asked["device"])
    _say(_measured(work, device, asked["limit"]))


def _say(found: Measured) -> None:
    print(found.model_dump_json(), flush=True)


def _measured(work: Work, device: torch.device, limit: int | None) -> Measured:
    _warm_up()
    bf16 = work.base.precision != "fp32" or autocasts(work.train, device)
    speed = speed_of(device, bf16=bf16)
    memory = PeakMemory(device)
    idle = memory.read()
    known: dict[str, Any] = {
        "idle": idle,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "speed": speed.flops,
        "bandwidth": speed.bytes,
    }
    if limit is not None and device.type == "cpu":
        threading.Thread(target=_guard, args=(memory, limit, known), daemon=True).start()
    spec = work.base
    try:
        base = load_base(
            spec.name,
            spec.precision,
            device=device,
            allow_download=spec.allow_download,
            revision=spec.revision,
        )
        memory = PeakMemory(device)
        seconds, measuring = _two_steps(base, work)
    except (torch.cuda.OutOfMemoryError, MemoryError):
        return Measured(fits=False, peak=memory.read() - idle, **known)
    return Measured(
        fits=True,
        peak=memory.read() - idle,
        step_seconds=seconds,
        measuring_seconds=measuring,
        **known,
    )


def _warm_up() -> None:
    """Two steps of a training of no size: what the libraries load when they are first used is not
    this training's."""
    row = ((Role.USER, 4), (Role.TARGET, 2))
    spec, method = BaseSpec(), LoraConfig()
    work = Work(base=spec, method=method, scope=Scope.PROMPT, train=TrainSpec(), rows=(row,))
    _two_steps(tiny_base(), work)


def _guard(memory: PeakMemory, limit: int, known: dict[str, Any]) -> None:
    while (peak := memory.read()) <= limit:
        time.sleep(_POLL)
    _say(Measured(fits=False, peak=peak - known["idle"], **known))
    os._exit(0)


def _two_steps(base: Base, work: Work) -> tuple[float, float]:
    """Seconds of the second step, and of measuring."""
    share = -(-work.batch // work.devices)
    longest = sorted(work.rows, key=lambda row: -sum(count for _, count in row))[:share]
    rows = made_rows(longest * STEPS, base.anatomy.vocabulary)
    changes = {
        "epochs": 1,
        "max_steps": STEPS,
        "batch_size": share,
        "learning_rate": 1e-6,
        "evaluations_per_epoch": 1,
    }
    spec = work.train.model_copy(update=changes)
    clock, measured = _Clock(), [0.0]
    with (
        tempfile.TemporaryDirectory() as folder,
        tuning(Injection(base), work.method, work.scope) as tunable,
    ):
        validation = _validation(tunable, base, work, measured)
        train(tunable, rows, spec, Path(folder), validation=validation, sinks=[clock])
    first, second = clock.times
    return second - first, measured[0]


def _validation(
    tunable: Tunable, base: Base, work: Work, seconds: list[float]
) -> Validation | None:
    if (measuring := work.measuring) is None:
        return None
    engine = BatchEngine(tunable.injection, ())
    asked = [
        Request(row.row_id, row.prompt, TUNED, min(measuring.new_tokens, _MOST_NEW))
        for row in made_rows(measuring.rows, base.anatomy.vocabulary)
    ]

    def measure() -> dict[str, float]:
        began = time.perf_counter()
        if measuring.options:
            engine.score(asked, _options(measuring.options))
        else:
            engine.generate(asked)
        seconds[0] = time.perf_counter() - began
        return {"seconds": seconds[0]}

    return Validation(measure, "seconds", False)


def _options(lengths: Sequence[int]) -> list[tuple[int, ...]]:
    """Options of these lengths that share no token at their start."""
    return [tuple(range(11 + i, 11 + i + count)) for i, count in enumerate(lengths)]


if __name__ == "__main__":
    _main()
