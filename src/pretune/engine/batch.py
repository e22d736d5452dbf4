"""Batches of prompts: greedy completion and option scoring, any mix of adapters in one batch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache

from pretune.adapters.injection import NO_SLOT, Injection, Mounted, Routing
from pretune.core.records import Completion, FinishReason, OptionScores, Request
from pretune.core.scope import PLACEHOLDER_ID, Layout, Scope, lay_out
from pretune.engine.masks import attention_masks
from pretune.engine.trie import OptionTrie

Progress = Callable[[int], None]

TOKENS_PER_BATCH = 8192
"""Most tokens, padding included, that one prefill holds."""

LOGIT_ROWS = 1024
"""Most rows whose logits exist at a time; more would leave the processor's cache."""


@dataclass(frozen=True, eq=False)
class Prompts:
    """Prompts padded on the left: ``ids``, ``real`` and ``positions``, all ``(B, T)``, with their
    routing; ``decode_slots (B,)`` is what generated tokens are routed to."""

    ids: Tensor
    real: Tensor
    positions: Tensor
    routing: Routing
    decode_slots: Tensor


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
            scores = self._score(self._pad([requests[i] for i in chosen]), trie)
            for i, row in zip(chosen, scores.tolist(), strict=True):
                done[i] = OptionScores(requests[i].id, tuple(row))
            if progress:
                progress(len(chosen))
        return [done[i] for i in range(len(requests))]

    def _mounted(self, request: Request) -> Mounted | None:
        return None if request.adapter is None else self._injection[request.adapter]

    def _layout(self, request: Request) -> Layout:
        mounted = self._mounted(request)
        if mounted is None:
            return lay_out(request.segments, Scope.PROMPT)
        return mounted.lay_out(request.segments)

    def _chunks(
        self, requests: Sequence[Request], extra: Callable[[Request], int]
    ) -> Iterator[list[int]]:
        """Indices of requests that fit one prefill, long ones first, similar lengths together."""
        sizes = [len(self._layout(request)) + extra(request) for request in requests]
        order = sorted(range(len(requests)), key=lambda i: -sizes[i])
        while order:
            most = max(1, TOKENS_PER_BATCH // max(1, sizes[order[0]]))
            yield order[:most]
            order = order[most:]

    def _pad(self, requests: Sequence[Request]) -> Prompts:
        layouts = [self._layout(request) for request in requests]
        mounted = [self._mounted(request) for request in requests]
        shape = len(requests), max(map(len, layouts))
        ids = torch.full(shape, PLACEHOLDER_ID)
        real = torch.zeros(shape, dtype=torch.bool)
        slots = torch.full(shape, NO_SLOT)
        virtual = torch.full(shape, -1)
        for row, (layout, adapter) in enumerate(zip(layouts, mounted, strict=True)):
            first = shape[1] - len(layout)
            ids[row, first:] = torch.tensor(layout.ids)
            real[row, first:] = True
            virtual[row, first:] = torch.tensor(layout.virtual)
            if adapter is not None:
                slots[row, first:][torch.tensor(layout.routed)] = adapter.slot
        decode = [a.slot if a and a.scope is Scope.ALL else NO_SLOT for a in mounted]
        device = self._injection.base.device
        positions = (real.cumsum(1) - 1).clamp(min=0)
        return Prompts(
            ids.to(device),
            real.to(device),
            positions.to(device),
            Routing(slots, virtual),
            torch.tensor(decode),
        )

    def _head(self, hidden: Tensor, index: Tensor) -> Tensor:
        """Logits of the rows ``index`` of ``hidden (B, T, H)`` flattened."""
        with self._injection.narrowed(index):
            return self._injection.base.head(hidden.reshape(-1, hidden.shape[-1])[index])

    @torch.no_grad()
    def prefill(self, requests: Sequence[Request]) -> Prefilled:
        """Write the prompts of ``requests`` into one new cache, in one pass."""
        prompts = self._pad(requests)
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
            last = torch.arange(1, batch + 1, device=base.device) * width - 1
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
                index = torch.arange(len(running), device=base.device)
                tokens = self._head(hidden, index).argmax(1)
        return [
            Completion(request.id, tuple(written[row]), reasons[row])
            for row, request in enumerate(requests)
        ]

    @torch.no_grad()
    def _score(self, prompts: Prompts, trie: OptionTrie) -> Tensor:
        """Scores ``(B, options)``: each prompt is followed by all nodes of the trie, of which each
        sees the prompt and its own ancestors."""
        base = self._injection.base
        batch, width = prompts.ids.shape
        nodes = len(trie)
        ids = torch.cat([prompts.ids, trie.ids.to(base.device).expand(batch, nodes)], 1)
        depth = trie.depth.to(base.device)
        positions = torch.cat([prompts.positions, prompts.positions[:, -1:] + depth], 1)
        allowed = torch.zeros(batch, width + nodes, width + nodes, dtype=torch.bool)
        allowed[:, :width, :width] = torch.ones(width, width, dtype=torch.bool).tril()
        allowed[:, width:, :width] = True
        allowed[:, :, :width] &= prompts.real.cpu()[:, None, :]
        allowed[:, width:, width:] = trie.ancestors
        allowed |= torch.eye(width + nodes, dtype=torch.bool)
        slots = prompts.decode_slots[:, None].expand(batch, nodes)
        routing = Routing(
            torch.cat([prompts.routing.slots, slots], 1),
            torch.cat([prompts.routing.virtual, torch.full((batch, nodes), -1)], 1),
        )
        with self._injection.routed(routing):
            hidden = base.backbone(
                ids,
                attention_mask=attention_masks(base, allowed.to(base.device), positions),
                position_ids=positions,
                use_cache=False,
            ).last_hidden_state
            # The last prompt token predicts the first token of each option, a node the next one.
            rows = torch.arange(batch)[:, None] * (width + nodes)
            index = rows + torch.arange(width - 1, width + nodes)
            most = max(1, LOGIT_ROWS // (nodes + 1))
            scores = []
            for some in index.split(most):
                logits = self._head(hidden, some.flatten().to(base.device))
                scores.append(trie.scores(logits.view(*some.shape, -1)))
        return torch.cat(scores)


def _decode_routing(slots: Tensor) -> Routing:
    return Routing(slots[:, None], torch.full((len(slots), 1), -1))
