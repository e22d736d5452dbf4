"""Batches of prompts: greedy completion and option scoring, any mix of adapters in one batch."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache

from pretune.adapters.injection import Injection, Routing
from pretune.core.records import Completion, FinishReason, OptionScores, Request
from pretune.engine.prompts import Prompts, layout_of, pad
from pretune.engine.scoring import follow, option_scores
from pretune.engine.trie import OptionTrie

Progress = Callable[[int], None]

TOKENS_PER_BATCH = 8192
"""Most tokens, padding included, that one prefill holds."""


class Prefilled(NamedTuple):
    """Prompts whose keys and values are in ``cache``; ``logits (B, vocabulary)`` follow them."""

    prompts: Prompts
    cache: DynamicCache
    logits: Tensor


class BatchEngine:
    """Implements the Generator and Scorer protocols on a base with mounted adapters."""

    def __init__(self, injection: Injection, end_ids: Sequence[int]) -> None:
        self._injection = injection
        self._end_ids = frozenset(end_ids)

    def generate(
        self, requests: Sequence[Request], progress: Progress | None = None
    ) -> list[Completion]:
        """Greedy completions in the order asked; ``progress`` gets the number just finished."""
        done: dict[int, Completion] = {}
        for chosen in self._chunks(requests, lambda request: request.max_new_tokens):
            completions = self._complete([requests[i] for i in chosen])
            done.update(zip(chosen, completions, strict=True))
            if progress:
                progress(len(chosen))
        return [done[i] for i in range(len(requests))]

    def score(
        self,
        requests: Sequence[Request],
        options: Sequence[Sequence[int]],
        progress: Progress | None = None,
    ) -> list[OptionScores]:
        """Log-probabilities of every option after every prompt, each prompt in one pass."""
        trie = OptionTrie.of(options)
        done: dict[int, OptionScores] = {}
        for chosen in self._chunks(requests, lambda _: len(trie)):
            scores = self._score([requests[i] for i in chosen], trie)
            for i, row in zip(chosen, scores.tolist(), strict=True):
                done[i] = OptionScores(requests[i].id, tuple(row))
            if progress:
                progress(len(chosen))
        return [done[i] for i in range(len(requests))]

    def _chunks(
        self, requests: Sequence[Request], extra: Callable[[Request], int]
    ) -> Iterator[list[int]]:
        """Indices of requests that fit one prefill, long ones first, similar lengths together."""
        sizes = [len(layout_of(self._injection, one)) + extra(one) for one in requests]
        order = sorted(range(len(requests)), key=lambda i: -sizes[i])
        while order:
            most = max(1, TOKENS_PER_BATCH // max(1, sizes[order[0]]))
            yield order[:most]
            order = order[most:]

    def _head(self, hidden: Tensor, index: Tensor) -> Tensor:
        """Logits of the rows ``index`` (on the CPU) of ``hidden (B, T, H)`` flattened."""
        with self._injection.narrowed(index):
            rows = hidden.reshape(-1, hidden.shape[-1])[index.to(hidden.device)]
            return self._injection.base.head(rows)

    @torch.no_grad()
    def prefill(self, requests: Sequence[Request]) -> Prefilled:
        """Write the prompts of ``requests`` into one new cache, in one pass."""
        prompts = pad(self._injection, requests)
        base = self._injection.base
        cache = DynamicCache(config=base.model.config)
        batch, width = prompts.ids.shape
        with self._injection.routed(prompts.routing):
            hidden = base.backbone(
                prompts.ids,
                attention_mask=prompts.real,
                position_ids=prompts.positions,
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state
            last = torch.arange(1, batch + 1) * width - 1
            return Prefilled(prompts, cache, self._head(hidden, last))

    @torch.no_grad()
    def _complete(self, requests: Sequence[Request]) -> list[Completion]:
        base = self._injection.base
        prompts, cache, logits = self.prefill(requests)
        tokens = logits.argmax(1)
        real, positions = prompts.real, prompts.positions[:, -1:]
        slots = prompts.decode_slots
        running = list(range(len(requests)))
        written: list[list[int]] = [[] for _ in requests]
        reasons = [FinishReason.LENGTH] * len(requests)
        while True:
            going: list[int] = []
            for place, (row, token) in enumerate(zip(running, tokens.tolist(), strict=True)):
                if token in self._end_ids:
                    reasons[row] = FinishReason.END
                else:
                    written[row].append(token)
                    if len(written[row]) < requests[row].max_new_tokens:
                        going.append(place)
            if not going:
                break
            if len(going) < len(running):
                running = [running[place] for place in going]
                keep = torch.tensor(going)
                slots = slots[keep]
                keep = keep.to(base.device)
                cache.batch_select_indices(keep)
                tokens, real, positions = tokens[keep], real[keep], positions[keep]
            real = torch.cat([real, real.new_ones(len(running), 1)], 1)
            positions = positions + 1
            with self._injection.routed(_decode_routing(slots)):
                hidden = base.backbone(
                    tokens[:, None],
                    attention_mask=real,
                    position_ids=positions,
                    past_key_values=cache,
                    use_cache=True,
                ).last_hidden_state
                tokens = self._head(hidden, torch.arange(len(running))).argmax(1)
        return [
            Completion(request.id, tuple(written[row]), reasons[row])
            for row, request in enumerate(requests)
        ]

    @torch.no_grad()
    def _score(self, requests: Sequence[Request], trie: OptionTrie) -> Tensor:
        """Scores ``(B, options)`` of one batch."""
        asked = follow(pad(self._injection, requests), trie)
        with self._injection.routed(asked.routing):
            return option_scores(self._injection, asked.ids, asked.positions, asked.allowed, trie)


def _decode_routing(slots: Tensor) -> Routing:
    return Routing(slots[:, None], torch.full((len(slots), 1), -1))
