"""Learning from a teacher's probabilities (Hinton, Vinyals and Dean 2015, arXiv 1503.02531).

``(1 - w) * hard + w * T**2 * soft``: ``hard`` is the cross-entropy of the row's own answer, as in
supervised tuning; ``soft`` the divergence KL(teacher || student) of two distributions over the same
classes, each raised to 1/T and normalised again (their section 2; the square keeps the gradient's
size at any T). The classes are the task's labels, each with the probability that the scorer gives
it, or, for a free answer, at each of its tokens the teacher's likeliest tokens and all others
together. All sums are divided by the number of target tokens, so that ``w = 0`` would be ``sft``.

The teacher itself is not here: what it thinks of each row stands in a file.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax

from pretune.adapters.injection import NO_SLOT, Injection
from pretune.adapters.tunable import TUNED, Tunable
from pretune.core import digest
from pretune.core.errors import DataError, SpecError
from pretune.core.records import Request, TokenExample
from pretune.data.batches import IGNORED, Batch, collate
from pretune.data.softlabels import SoftKind, SoftLabels, other_tokens
from pretune.engine.forward import target_logits
from pretune.engine.prompts import pad
from pretune.engine.scoring import follow, option_scores
from pretune.engine.trie import OptionTrie
from pretune.training.objective import Loss, Objective, Piece


@dataclass(frozen=True)
class Softening:
    """``temperature`` T, above 0, and ``weight`` w of the soft loss, 0 < w <= 1.

    Raises:
        SpecError: a value out of its range.
    """

    temperature: float = 2.0
    weight: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise SpecError(f'temperature "{self.temperature}" is not above 0')
        if not 0 < self.weight <= 1:
            raise SpecError(f'weight "{self.weight}" is not above 0 and at most 1')

    def loss(self, hard: Tensor, student: Tensor, teacher: Tensor) -> Loss:
        """The loss of log-probabilities ``(n, classes)`` and of a sum ``hard``; all float32."""
        soft = divergence(student, teacher, self.temperature).sum()
        total = (1 - self.weight) * hard + self.weight * self.temperature**2 * soft
        return Loss(total, {"hard": hard.detach(), "soft": soft.detach()})


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """KL(teacher || student) in nats ``(n,)``, both raised to ``1 / temperature``; from
    log-probabilities ``(n, classes)`` that need not sum to one."""
    ours = log_softmax(student / temperature, 1)
    theirs = log_softmax(teacher / temperature, 1)
    return (theirs.exp() * (theirs - ours)).sum(1)


def distil_labels(
    soft: SoftLabels, labels: dict[str, tuple[int, ...]], softening: Softening
) -> Objective:
    """Learn the distribution over ``labels``, whose token ids end with the end token.

    Every prompt is followed by all labels at once, as the scorer does it.

    Raises:
        DataError: the teacher knows other labels, or gave no such distributions.
    """
    given = soft.header.labels
    if soft.header.kind is not SoftKind.LABELS or given is None:
        raise DataError(
            f'"{soft.path}" holds distributions over tokens, and this task has labels; write it '
            "again for this task: pretune data soften --overwrite"
        )
    if set(given) != set(labels):
        raise DataError(f'"{soft.path}" is about other labels: {differing(given, list(labels))}')
    order = [given.index(label) for label in labels]
    names, trie = list(labels), OptionTrie.of(list(labels.values()))

    def collated(tunable: Tunable, rows: Sequence[TokenExample]) -> Piece:
        gold = [names.index(row.label or "") for row in rows]
        requests = [Request(row.row_id, row.prompt, TUNED) for row in rows]
        prompts = pad(tunable.injection, requests)
        asked = follow(prompts, trie)
        nodes = torch.ones(len(rows), len(trie), dtype=torch.bool)
        batch = Batch(
            input_ids=asked.ids,
            labels=torch.full(asked.ids.shape, IGNORED),  # options are scored, none is the target
            routed=asked.routing.slots != NO_SLOT,
            virtual=asked.routing.virtual,
            attention_mask=torch.cat([prompts.real.cpu(), nodes], 1),
            row_ids=tuple(row.row_id for row in rows),
        )
        device = asked.ids.device
        teacher = torch.tensor([one.scores[0] for one in soft.read(rows)])[:, order]
        extra = {
            "positions": asked.positions,
            "allowed": asked.allowed,
            "gold": torch.tensor(gold, device=device),
            "teacher": teacher.to(device),
        }
        return Piece(batch, float(sum(len(labels[names[i]]) for i in gold)), extra)

    def loss(injection: Injection, piece: Piece) -> Loss:
        extra = piece.extra
        scores = option_scores(
            injection, piece.batch.input_ids, extra["positions"], extra["allowed"], trie
        )
        hard = -scores.gather(1, extra["gold"][:, None]).sum()
        return softening.loss(hard, scores, extra["teacher"])

    return Objective(_name(soft, softening), collated, loss)


def distil_tokens(soft: SoftLabels, tokenizer: str, softening: Softening) -> Objective:
    """Learn the distribution at every target token, where the base's tokenizer has the digest
    ``tokenizer``.

    Raises:
        DataError: the teacher's tokens are others, or it gave no distributions over tokens.
    """
    if soft.header.kind is not SoftKind.TOKENS:
        raise DataError(
            f'"{soft.path}" holds distributions over labels, and this task has none; write it '
            "again for this task: pretune data soften --overwrite"
        )
    if soft.header.tokenizer != tokenizer:
        raise other_tokens(f'the teacher of "{soft.path}"', soft.header.tokenizer, tokenizer)

    def collated(tunable: Tunable, rows: Sequence[TokenExample]) -> Piece:
        batch = collate(rows, tunable.scope, tunable.config.virtual_tokens)
        device = tunable.injection.base.device
        found = soft.read(rows)
        for row, one, labels in zip(rows, found, batch.labels, strict=True):
            if one.targets != tuple(labels[labels != IGNORED].tolist()):
                raise DataError(
                    f'soft labels "{soft.path}": row {row.row_id} has other answer tokens than '
                    "those that the teacher saw; write them again: pretune data soften --overwrite"
                )
        extra = {
            "ids": torch.tensor([run for one in found for run in one.ids], device=device),
            "teacher": torch.tensor([run for one in found for run in one.scores], device=device),
        }
        return Piece(batch, float(batch.target_tokens), extra)

    def loss(injection: Injection, piece: Piece) -> Loss:
        targets = target_logits(injection, piece.batch)
        logits = targets.logits.float()
        hard = cross_entropy(logits, targets.ids, reduction="sum")
        return softening.loss(hard, masses(logits, piece.extra["ids"]), piece.extra["teacher"])

    return Objective(_name(soft, softening), collated, loss)


def masses(logits: Tensor, ids: Tensor) -> Tensor:
    """Log-probabilities ``(n, k + 1)`` of the tokens ``ids (n, k)`` and of all others together."""
    log_probs = log_softmax(logits, 1)
    rest = log_probs.scatter(1, ids, -torch.inf).logsumexp(1, keepdim=True)
    return torch.cat([log_probs.gather(1, ids), rest], 1)


def differing(given: Sequence[str], wanted: Sequence[str]) -> str:
    """What distinguishes two sets of labels, in words."""
    parts = [
        f"{who} alone has " + ", ".join(f'"{label}"' for label in names[:3])
        + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        for who, names in (
            ("the teacher", [label for label in given if label not in wanted]),
            ("the task", [label for label in wanted if label not in given]),
        )
        if names
    ]  # fmt: skip
    return f"{'; '.join(parts)}; give both the same labels, whatever their words"


def _name(soft: SoftLabels, softening: Softening) -> str:
    """All that a training to be resumed must have had."""
    return (
        f"distil, temperature {softening.temperature:g}, weight {softening.weight:g}, "
        f"soft labels {soft.digest[: digest.SHORT]}"
    )
