"""Forgetting: how far the adapter bends the base's general language.

Passages that belong to no task are asked to be gone on with: their heads are a prompt, their tails
what should come. The perplexity of the tails after prompts that the adapter read, over that after
prompts that the base read, is what is told.

At the scopes ``prompt`` and ``suffix`` the tails are written by the base in both cases, and
requests to the base never meet the adapter: nothing that the base could do is lost to anybody. What
the ratio shows there is how foreign a cache the adapter writes where a prompt is not the task's. At
scope ``all`` the adapter writes the tails as well, and the ratio is forgetting in the usual sense.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from pretune.adapters.injection import Injection, Mounted
from pretune.core.protocols import Renderer
from pretune.core.records import TokenExample
from pretune.core.scope import Scope
from pretune.core.segments import Role, Turn
from pretune.data.batches import collate
from pretune.engine.forward import routing_of, target_logits
from pretune.evaluation.intervals import Interval, percentiles, resampled_totals
from pretune.evaluation.metrics.metric import Array
from pretune.gating.evidence import Forgetting, Measure
from pretune.gating.texts import Passage, general_passages

_GO_ON = {"en": "Go on with this text.", "zh": "请接着写下去。"}


def forgetting(injection: Injection, renderer: Renderer, mounted: Mounted) -> Forgetting:
    """Perplexities of the shipped passages by the base and by the adapter ``mounted``; the interval
    resamples passages."""
    examples = [_example(number, one, renderer) for number, one in enumerate(general_passages())]
    before = _losses(injection, examples, None)
    after = _losses(injection, examples, mounted)
    statistics = np.stack([before[:, 0], after[:, 0], before[:, 1]], axis=1)
    base, adapter, tokens = statistics.sum(axis=0)
    ratio = math.exp((adapter - base) / tokens)
    low, high = percentiles(_ratio(resampled_totals(statistics, 0)))
    found = Interval(ratio, min(low, ratio), max(high, ratio), len(examples))
    return Forgetting(
        base=math.exp(base / tokens),
        adapter=math.exp(adapter / tokens),
        ratio=Measure.from_interval(found, of="passages"),
    )


def _ratio(totals: Array) -> Array:
    ratio: Array = np.exp((totals[..., 1] - totals[..., 0]) / totals[..., 2])
    return ratio


def _example(number: int, passage: Passage, renderer: Renderer) -> TokenExample:
    turns = [
        Turn(Role.CONTEXT, passage.head),
        Turn(Role.USER, _GO_ON[passage.language]),
        Turn(Role.TARGET, passage.tail.strip()),
    ]
    return TokenExample(f"general:{number}", renderer.encode(renderer.render(turns)))


@torch.no_grad()
def _losses(
    injection: Injection, examples: Sequence[TokenExample], mounted: Mounted | None
) -> Array:
    """Nats and tokens of each example's tail; shape (examples, 2)."""
    scope = Scope.PROMPT if mounted is None else mounted.scope
    virtual = 0 if mounted is None else mounted.method.config.virtual_tokens
    found = []
    for example in examples:  # one at a time: they are few, and padding need not be thought of
        batch = collate([example], scope, virtual)
        with injection.routed(routing_of(batch, mounted)):
            targets = target_logits(injection, batch)
        loss = cross_entropy(targets.logits.float(), targets.ids, reduction="sum")
        found.append((float(loss), len(targets.ids)))
    return np.asarray(found, float)
