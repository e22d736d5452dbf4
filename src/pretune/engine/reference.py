"""The slow and obvious statement of the truth that every other implementation is tested against.

One request at a time, one token a step, no batching, no padding, no cleverness.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache

from pretune.adapters.injection import NO_SLOT, Injection, Mounted, Routing
from pretune.core.records import Completion, FinishReason, Request
from pretune.core.scope import Layout, Scope, lay_out


class Reference:
    """Prefill with the adapter where its scope says so; decode with the base."""

    def __init__(self, injection: Injection, end_ids: Sequence[int]) -> None:
        self._injection = injection
        self._end_ids = frozenset(end_ids)

    def _mounted(self, request: Request) -> Mounted | None:
        return None if request.adapter is None else self._injection[request.adapter]

    def layout(self, request: Request) -> Layout:
        """The prompt's tokens, virtual ones included."""
        mounted = self._mounted(request)
        return (
            lay_out(request.segments, Scope.PROMPT)
            if mounted is None
            else mounted.lay_out(request.segments)
        )

    def prefill(self, request: Request, cache: DynamicCache, stop: int | None = None) -> Tensor:
        """Write the prompt's tokens that ``cache`` does not hold yet, up to position ``stop``.

        So a prompt can be written in pieces, and a conversation continued from the cache of its
        earlier turns. Returns logits ``(tokens written, vocabulary)``.
        """
        layout, mounted = self.layout(request), self._mounted(request)
        slot = NO_SLOT if mounted is None else mounted.slot
        slots = [slot if routed else NO_SLOT for routed in layout.routed]
        piece = slice(cache.get_seq_length(), stop)
        return self._forward(layout.ids[piece], slots[piece], layout.virtual[piece], cache)

    def step(self, request: Request, token: int, cache: DynamicCache) -> Tensor:
        """Write one generated ``token``; logits ``(vocabulary,)`` of what follows it."""
        mounted = self._mounted(request)
        routed = mounted is not None and mounted.scope is Scope.ALL
        slot = mounted.slot if mounted is not None and routed else NO_SLOT
        return self._forward((token,), [slot], (-1,), cache)[0]

    def _forward(
        self, ids: Sequence[int], slots: Sequence[int], virtual: Sequence[int], cache: DynamicCache
    ) -> Tensor:
        base = self._injection.base
        routing = Routing(torch.tensor([slots]), torch.tensor([virtual]))
        with torch.no_grad(), self._injection.routed(routing):
            tokens = torch.tensor([ids], device=base.device)
            out = base.backbone(tokens, past_key_values=cache, use_cache=True)
            return base.head(out.last_hidden_state[0])

    def target_logits(self, request: Request, target: Sequence[int]) -> Tensor:
        """Logits ``(len(target), vocabulary)`` that predict each token of ``target`` in turn."""
        cache = DynamicCache(config=self._injection.base.model.config)
        rows = [self.prefill(request, cache)[-1]]
        rows += [self.step(request, token, cache) for token in target[:-1]]
        return torch.stack(rows)

    def generate(self, request: Request) -> Completion:
        """Greedy completion."""
        cache = DynamicCache(config=self._injection.base.model.config)
        token = int(self.prefill(request, cache)[-1].argmax())
        ids: list[int] = []
        while token not in self._end_ids:
            ids.append(token)
            if len(ids) == request.max_new_tokens:
                return Completion(request.id, tuple(ids), FinishReason.LENGTH)
            token = int(self.step(request, token, cache).argmax())
        return Completion(request.id, tuple(ids), FinishReason.END)
