"""One forward pass of a training batch: the logits that predict what the model is to write."""

from typing import NamedTuple

from torch import Tensor

from pretune.adapters.injection import NO_SLOT, Injection, Mounted, Routing
from pretune.data.batches import Batch


class Targets(NamedTuple):
    """``logits (n, vocabulary)``, the ``ids (n,)`` they should predict, and each one's ``row``."""

    logits: Tensor
    ids: Tensor
    rows: Tensor


def routing_of(batch: Batch, mounted: Mounted | None) -> Routing:
    """The routing of a batch whose rows all belong to one adapter, or to the base."""
    slot = NO_SLOT if mounted is None else mounted.slot
    return Routing(batch.routed.long() * (slot - NO_SLOT) + NO_SLOT, batch.virtual)


def target_logits(injection: Injection, batch: Batch) -> Targets:
    """Logits at the positions that predict a target, under the routing in force.

    Rows are padded on the right, where causal attention needs no mask. The head runs on the target
    positions alone: on a long prompt with a short answer it would be most of the work.
    """
    base = injection.base
    labels = batch.labels.flatten()
    index = (labels >= 0).nonzero().flatten()
    hidden = base.backbone(batch.input_ids.to(base.device), use_cache=False).last_hidden_state
    picked = hidden.reshape(-1, hidden.shape[-1])[index.to(base.device)]
    with injection.narrowed(index):
        logits = base.head(picked)
    width = batch.labels.shape[1]
    return Targets(logits, labels[index].to(base.device), index // width)
