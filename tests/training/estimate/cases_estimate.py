"""Work on the tiny base, shared by these tests."""

from typing import Any

from pretune.bases import Base
from pretune.bases.anatomy import dissect
from pretune.bases.blank import blank_model
from pretune.bases.fakes import tiny_base
from pretune.core.scope import Scope
from pretune.core.segments import Role
from pretune.spec.base import BaseSpec
from pretune.spec.methods import LoraConfig
from pretune.spec.training import TrainSpec
from pretune.training.estimate.dry_run import Measured
from pretune.training.estimate.records import Record
from pretune.training.estimate.work import Lengths, Work


def row(length: int = 32, target: int = 4) -> Lengths:
    context = length // 4
    return (
        (Role.SYSTEM, 4),
        (Role.CONTEXT, context),
        (Role.USER, length - context - 4 - target),
        (Role.TARGET, target),
    )


def work(batch: int = 4, length: int = 32, train: Any = None, **changes: Any) -> Work:
    known: dict[str, Any] = {
        "base": BaseSpec(),
        "method": LoraConfig(),
        "scope": Scope.PROMPT,
        "train": TrainSpec(**(train or {})),
        "rows": (row(length),) * batch,
    }
    return Work(**(known | changes))


def blank(family: str = "llama", precision: str = "fp32", **changes: Any) -> Base:
    """A tiny base of ``family`` without numbers."""
    real = tiny_base(family, **changes)
    model = blank_model(real.model.config, precision)
    return Base(real.name, "none", precision, model, real.renderer, dissect(model))


def record(
    peak: int = 1_000, seconds: float = 1.0, *, static: int = 500, made: int = 500
) -> Record:
    return Record(
        name="made",
        phases={"step": {"weights": static, "activations": made}},
        flops=1e9,
        moved=1e6,
        calls=100,
        measuring_flops=0,
        measured=Measured(
            fits=True, peak=peak, idle=1, step_seconds=seconds, speed=1e9, bandwidth=1e9
        ),
    )
