"""What a training takes on one device, from shapes: bytes by part and phase, operations."""

from dataclasses import dataclass
from typing import Any

from pretune.adapters.registry import build_method
from pretune.bases import Base
from pretune.bases.blank import blank_base
from pretune.spec.base import BaseSpec
from pretune.spec.methods import FullConfig
from pretune.training.estimate.rehearse import rehearse_measuring, rehearse_step
from pretune.training.estimate.work import Parts, Work

_ADAM = 2
"""Numbers that AdamW keeps of every weight."""


@dataclass(frozen=True, slots=True)
class Reckoned:
    """Before any correction. ``phases`` are the ``step``, the ``measuring`` between steps and the
    ``keeping`` of the best at the end (in the host's memory); the highest one is the need.

    ``flops``, ``moved`` (bytes written) and ``calls`` are of one step, ``measuring_flops`` of one
    answered chunk. ``trained`` is the number of trained weights.
    """

    phases: tuple[Parts, ...]
    flops: float
    moved: float
    calls: float
    measuring_flops: float
    trained: int

    @property
    def highest(self) -> Parts:
        """The phase that needs most."""
        return max(self.phases, key=lambda phase: phase.total)


def blank_of(spec: BaseSpec) -> Base:
    """The base that a task names, without its numbers."""
    return blank_base(
        spec.name, spec.precision, allow_download=spec.allow_download, revision=spec.revision
    )


def reckon(work: Work, base: Base, *, autocast: bool) -> Reckoned:
    """What ``work`` takes on the blank ``base``; ``autocast``: its products are taken in bf16."""
    step = rehearse_step(base, work, autocast=autocast)
    full = isinstance(work.method, FullConfig)
    weights = _bytes(base.model.parameters()) + _bytes(base.model.buffers())
    blanks = build_method(work.method).blanks(base.anatomy).values()
    count = base.parameters if full else sum(value.numel() for value in blanks)
    trained = weights if full else 4 * count
    state = {"weights": weights, "optimiser": _ADAM * trained}
    # The base's own weights are kept aside while all of it is tuned.
    state |= {"kept weights": weights} if full else {"adapter": trained}
    pieces = -(-work.batch // (work.devices * work.piece))
    early = {"gradients": trained} if pieces > 1 else {}
    early |= {"sum of rows": 4 * count} if work.train.privacy else {}
    exchanged = {"exchange": trained} if work.devices > 1 else {}
    phases = [_phase("step", state, step.parts, early, exchanged)]
    copies, measured = 2 * trained, 0.0
    if work.measuring is not None:
        seen = rehearse_measuring(base, work)
        phases.append(_phase("measuring", state, seen.parts))
        copies, measured = copies + trained, seen.flops
    phases.append(_phase("keeping", state, {"copies": copies}))
    return Reckoned(
        tuple(phases),
        step.flops * pieces,
        step.moved * pieces,
        step.calls * pieces,
        measured,
        count,
    )


def _phase(name: str, *groups: Any) -> Parts:
    totals: dict[str, int] = {}
    for group in groups:
        for part, size in group.items():
            totals[part] = totals.get(part, 0) + round(size)
    # What a backward pass makes is gradients as far as there are weights, and working space.
    if (made := totals.pop("backward", 0)) and (trained := totals["optimiser"] // _ADAM):
        totals["gradients"] = totals.get("gradients", 0) + min(made, trained)
        totals["working space"] = max(0, made - trained)
    return Parts(name, totals)


def _bytes(tensors: Any) -> int:
    sizes = {one.untyped_storage()._cdata: one.untyped_storage().nbytes() for one in tensors}
    return sum(sizes.values())
