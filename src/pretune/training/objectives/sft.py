"""Supervised tuning: the mean cross-entropy of all tokens that the model is to write."""

from collections.abc import Sequence

from torch.nn.functional import cross_entropy

from pretune.adapters.injection import Injection
from pretune.adapters.tunable import Tunable
from pretune.core.records import TokenExample
from pretune.data.batches import collate
from pretune.engine.forward import target_logits
from pretune.training.objective import Loss, Objective, Piece


def _collate(tunable: Tunable, rows: Sequence[TokenExample]) -> Piece:
    batch = collate(rows, tunable.scope, tunable.config.virtual_tokens)
    return Piece(batch, float(batch.target_tokens))


def _loss(injection: Injection, piece: Piece) -> Loss:
    targets = target_logits(injection, piece.batch)
    logits = targets.logits.float()
    total = cross_entropy(logits, targets.ids, reduction="sum")
    best = logits.detach()
    right = best.gather(1, targets.ids[:, None])[:, 0] >= best.amax(1)
    return Loss(total, {"token_accuracy": right.sum()})


SFT = Objective("sft", _collate, _loss)
"""Loss in nats a target token; computed in float32 whatever the model computes in."""
