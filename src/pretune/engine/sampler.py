"""The sampler: from logits to a token, as the request wants it."""

from collections.abc import Sequence as Seq

import torch
from torch import Tensor

from pretune.core.errors import AdapterError, PretuneError, SpecError
from pretune.core.records import Chosen
from pretune.core.sampling import Sampling
from pretune.engine.sequence import Sequence


class NotFinite(AdapterError):
    """Logits of a request that are not finite."""

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f'request "{request_id}" led to logits that are not finite; its adapter or its '
            "prompt is damaged"
        )


_NONE = -1
"""Stands for the token of a row that is not finite."""

_NUCLEUS = 1024
"""Tokens among which top-p is looked for first."""


def choose(logits: Tensor, sequences: Seq[Sequence]) -> list[Chosen | PretuneError]:
    """The next token of each sequence from its row of ``logits (n, vocabulary)``, or why there is
    none: a row that is not finite, or a constraint that fails, fails alone.

    One that asks for nothing special costs one ``max`` for all, and the step one wait for the
    device.
    """
    # Both ends tell whether all is finite, and are found faster than by asking every number.
    highest, best = logits.max(-1)
    finite = (highest < torch.inf) & (logits.amin(-1) > -torch.inf)
    tokens: list[int] = best.masked_fill_(~finite, _NONE).tolist()
    return [
        NotFinite(sequence.request.id) if token == _NONE else _chosen(logits, i, sequence, token)
        for i, (sequence, token) in enumerate(zip(sequences, tokens, strict=True))
    ]


def _chosen(logits: Tensor, row: int, sequence: Sequence, best: int) -> Chosen | PretuneError:
    how, adherence = sequence.request.sampling, sequence.adherence
    if how.plain:
        return Chosen(best, 0.0)
    wide = logits[row].float()
    changed = _penalised(wide, sequence, how) if how.penalised else wide
    if adherence is not None:
        try:
            changed = _narrowed(changed, adherence.allowed())
        except SpecError as error:
            return error
    token = (
        int(changed.argmax())
        if how.temperature == 0.0
        else _drawn(changed / how.temperature, how, sequence.draws.random())
    )
    if how.logprobs is None:
        return Chosen(token, 0.0)
    log_probs = wide.log_softmax(-1)
    values, ids = log_probs.topk(min(how.logprobs, len(log_probs)))
    top = tuple(zip(ids.tolist(), values.tolist(), strict=True))
    return Chosen(token, float(log_probs[token]), top)


def _narrowed(logits: Tensor, allowed: bytes) -> Tensor:
    """``logits (vocabulary,)`` with no chance for what is not allowed."""
    mask = torch.frombuffer(bytearray(allowed), dtype=torch.uint8).to(logits.device)
    return logits.masked_fill(mask == 0, -torch.inf)


def _penalised(logits: Tensor, sequence: Sequence, how: Sampling) -> Tensor:
    """OpenAI's presence and frequency penalties on the answer; CTRL's repetition penalty
    (arXiv 1909.05858, section 4.1) on prompt and answer."""
    logits = logits.clone()
    if how.repetition_penalty != 1.0:
        said = [token for token, at in zip(sequence.ids, sequence.virtual, strict=True) if at < 0]
        seen = torch.tensor(said, device=logits.device).unique()
        old = logits[seen]
        logits[seen] = torch.where(
            old > 0, old / how.repetition_penalty, old * how.repetition_penalty
        )
    if sequence.generated:
        ids = torch.tensor(sequence.generated, device=logits.device)
        tokens, counts = ids.unique(return_counts=True)
        logits[tokens] -= how.presence_penalty + how.frequency_penalty * counts
    return logits


def _drawn(logits: Tensor, how: Sampling, draw: float) -> int:
    """The token at ``draw`` (from 0, below 1) of what top-k, top-p and min-p leave over.

    Inverse transform: one number a token, so that the same seed gives the same answer in whatever
    batch.
    """
    values, ids, mass = _candidates(logits, how)
    shares = values.double().softmax(-1)
    if how.min_p > 0.0:
        shares.masked_fill_(shares < how.min_p * shares.max(), 0.0)
    if how.top_p < 1.0:
        shares.masked_fill_((shares.cumsum(-1) - shares) * mass >= how.top_p, 0.0)
    sums = shares.cumsum(-1)
    place = int(torch.searchsorted(sums, sums[-1:] * draw, right=True))  # draw < 1: there is one
    return place if ids is None else int(ids[place])


def _candidates(logits: Tensor, how: Sampling) -> tuple[Tensor, Tensor | None, float]:
    """What may be left over of ``logits (vocabulary,)``, best first where that counts; which tokens
    these are (``None``: all, each in its place); and the share of top-p's whole that they have.

    Sorting a whole vocabulary takes longer than all else here, so it is left for flat ones.
    """
    if how.top_k:
        return *logits.topk(min(how.top_k, len(logits))), 1.0
    if how.top_p == 1.0:
        return logits, None, 1.0
    values, ids = logits.topk(min(_NUCLEUS, len(logits)))
    mass = float((values.double().logsumexp(-1) - logits.double().logsumexp(-1)).exp())
    if mass > how.top_p:
        return values, ids, mass
    return *logits.sort(descending=True, stable=True), 1.0
