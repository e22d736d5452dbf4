"""What the parts of one training must share; a resume is checked against it."""

from collections.abc import Sequence
from typing import Any

from pretune.adapters.tunable import Tunable
from pretune.core import digest
from pretune.core.records import TokenExample
from pretune.spec.training import TrainSpec
from pretune.training.history import Validation
from pretune.training.objective import Objective
from pretune.training.plan import batch_size


def identity_of(
    tunable: Tunable,
    examples: Sequence[TokenExample],
    spec: TrainSpec,
    objective: Objective,
    validation: Validation | None,
    processes: int,
) -> dict[str, Any]:
    """A JSON value, by the names a user knows."""
    base = tunable.injection.base
    return {
        "base": base.digest[: digest.SHORT],
        "precision of the base": base.precision,
        "template": base.renderer.digest[: digest.SHORT],
        "method": tunable.config.model_dump(mode="json"),
        "scope": str(tunable.scope),
        "begin_with": tunable.begun_with,
        "objective": objective.name,
        **{f"train.{key}": value for key, value in spec.model_dump(mode="json").items()},
        "train.batch_size": batch_size(tunable.config, spec),
        "watched metric": validation.watch if validation else None,
        "validation rows": validation.rows if validation else None,
        "training rows": data_digest(examples)[: digest.SHORT],
        "processes": processes,
    }


def data_digest(examples: Sequence[TokenExample]) -> str:
    """Digest of the rows in their order: ids, roles and tokens."""
    return digest.of_json(
        [[e.row_id, [[str(s.role), s.ids] for s in e.segments]] for e in examples]
    )
