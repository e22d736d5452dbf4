"""A training step, and an answered chunk, on tensors without numbers: what they hold and do.

They are run with two and with four blocks. All grows evenly with the number of blocks, so the rest
follows; bases of up to four blocks are run as they are.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import DynamicCache

from pretune.adapters.injection import NO_SLOT, Injection, Mounted, Routing
from pretune.adapters.registry import build_method
from pretune.adapters.tunable import TUNED
from pretune.bases import Base
from pretune.bases.blank import with_layers
from pretune.core.scope import Scope, lay_out
from pretune.data.batches import collate
from pretune.engine.forward import routing_of
from pretune.engine.masks import attention_masks
from pretune.engine.scoring import LOGIT_ROWS
from pretune.spec.methods import FullConfig
from pretune.spec.training import TrainSpec
from pretune.training.estimate.ledger import Ledger
from pretune.training.estimate.work import Work, made_rows
from pretune.training.modes import trainable

_FEW, _MORE = 2, 4
"""Numbers of blocks that are run."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Bytes by part at the highest point, operations, bytes written and calls."""

    parts: Mapping[str, float]
    flops: float
    moved: float
    calls: float

    def grown(self, more: "Rehearsal", blocks: int) -> "Rehearsal":
        """What ``blocks`` blocks would give, if this is of two and ``more`` of four."""

        def line(few: float, many: float) -> float:
            return max(0.0, many + (many - few) / (_MORE - _FEW) * (blocks - _MORE))

        names = dict.fromkeys([*self.parts, *more.parts])
        return Rehearsal(
            {name: line(self.parts.get(name, 0), more.parts.get(name, 0)) for name in names},
            line(self.flops, more.flops),
            line(self.moved, more.moved),
            line(self.calls, more.calls),
        )


def rehearse_step(base: Base, work: Work, *, autocast: bool) -> Rehearsal:
    """One forward and backward pass of the widest piece on the blank ``base``."""
    return _over_blocks(base, lambda one: _step(one, work, autocast))


def rehearse_measuring(base: Base, work: Work) -> Rehearsal:
    """One answered chunk on the blank ``base``; its cache, where it writes, is a part."""
    return _measuring(base, work.changed(rows=work.rows[:1], train=TrainSpec(), devices=1))


@lru_cache(maxsize=16)  # the same for most changes of a training
def _measuring(base: Base, work: Work) -> Rehearsal:
    return _over_blocks(base, lambda one: _measure(one, work))


def _over_blocks(base: Base, run: Callable[[Base], Rehearsal]) -> Rehearsal:
    blocks = base.anatomy.layers
    if blocks <= _MORE:
        return run(base)
    return run(_small(base, _FEW)).grown(run(_small(base, _MORE)), blocks)


_small = lru_cache(maxsize=8)(with_layers)


@contextmanager
def _mounted(base: Base, work: Work) -> Iterator[tuple[Injection, Mounted, list[nn.Parameter]]]:
    injection, method = Injection(base), build_method(work.method)
    weights: dict[str, dict[str, nn.Parameter]] = {}
    if isinstance(work.method, FullConfig):
        trained = list(base.model.parameters())
        for parameter in trained:
            parameter.requires_grad_(parameter.is_floating_point())
    else:
        for name, value in method.blanks(base.anatomy).items():
            site, _, part = name.rpartition(".")
            weights.setdefault(site, {})[part] = nn.Parameter(value.to("meta"))
        trained = [one for parts in weights.values() for one in parts.values()]
    mounted = injection.mount_live(TUNED, method, work.scope, weights)
    try:
        yield injection, mounted, trained
    finally:
        injection.unmount(TUNED)
        base.model.requires_grad_(False)


def _ledger(base: Base, trained: list[nn.Parameter]) -> Ledger:
    ledger = Ledger()
    for one in (*base.model.parameters(), *base.model.buffers(), *trained):
        ledger.known(one)
    return ledger


def _step(base: Base, work: Work, autocast: bool) -> Rehearsal:
    longest = sorted(work.rows, key=lambda row: -sum(count for _, count in row))[: work.piece]
    rows = made_rows(longest, base.anatomy.vocabulary)
    batch = collate(rows, work.scope, work.method.virtual_tokens)
    labels = batch.labels.flatten()
    index = (labels >= 0).nonzero().flatten()
    with (
        _mounted(base, work) as (injection, mounted, trained),
        trainable(base, gradient_checkpointing=work.train.gradient_checkpointing),
        injection.routed(routing_of(batch, mounted)),
    ):
        ledger = _ledger(base, trained)
        with ledger.counting(autocast=autocast):
            ids = torch.zeros(batch.input_ids.shape, dtype=torch.long, device="meta")
            hidden = base.backbone(ids, use_cache=False).last_hidden_state
            with ledger.under("logits"):
                picked = hidden.reshape(-1, hidden.shape[-1])[index.to("meta")]
                with injection.narrowed(index):
                    logits = base.head(picked).float()
                loss = cross_entropy(logits, labels[index].to("meta"), reduction="sum")
                del logits, picked
            del hidden
            with ledger.under("backward"):
                _backward(loss)
    return Rehearsal(dict(ledger.peak), ledger.flops, ledger.moved, ledger.calls)


def _backward(loss: Tensor) -> None:
    """What ``loss.backward()`` does, but under the ledger's modes, which that call would leave:
    with recomputed activations the forward pass is in it again."""
    engine = torch.autograd.Variable._execution_engine
    start = (torch.ones_like(loss),)
    engine.run_backward((loss,), start, False, False, (), True, accumulate_grad=True)


def _measure(base: Base, work: Work) -> Rehearsal:
    measuring = work.measuring
    assert measuring is not None
    rows = made_rows(measuring.rows, base.anatomy.vocabulary)
    virtual = work.method.virtual_tokens
    layouts = [lay_out(row.prompt, work.scope, virtual) for row in rows]
    nodes = sum(measuring.options)
    count, width = len(rows), max(map(len, layouts))
    wide = width + nodes
    slots = torch.full((count, wide), NO_SLOT)
    places = torch.full((count, wide), -1)
    with _mounted(base, work) as (injection, mounted, trained), torch.no_grad():
        for row, layout in enumerate(layouts):
            end = width - len(layout)
            places[row, end:width] = torch.tensor(layout.virtual)
            slots[row, end:width][torch.tensor(layout.routed)] = mounted.slot
        if work.scope is Scope.ALL:
            slots[:, width:] = mounted.slot
        ledger = _ledger(base, trained)
        with injection.routed(Routing(slots, places)), ledger.counting():
            ids = torch.zeros((count, wide), dtype=torch.long, device="meta")
            cache = None if nodes else DynamicCache(config=base.model.config)
            given = {} if cache is None else {"past_key_values": cache, "use_cache": True}
            if nodes:
                with ledger.under("masks"):
                    allowed = torch.zeros(count, wide, wide, dtype=torch.bool, device="meta")
                    given = {"attention_mask": attention_masks(base, allowed, ids)}
            hidden = base.backbone(ids, **given).last_hidden_state
            with ledger.under("logits"):
                picked = hidden.reshape(-1, hidden.shape[-1])
                head = base.head(picked[: min(LOGIT_ROWS, count * (nodes + 1))])
                head.float().log_softmax(1)
    parts = dict(ledger.peak)
    if cache is not None:
        kept = _cache_bytes(base, count * (width + measuring.new_tokens))
        parts["cache"] = kept
        parts["activations"] = max(
            0, parts.get("activations", 0) - _cache_bytes(base, count * width)
        )
    return Rehearsal(parts, ledger.flops, ledger.moved, ledger.calls)


def _cache_bytes(base: Base, tokens: int) -> int:
    """Keys and values of so many tokens in all blocks."""
    anatomy = base.anatomy
    size = int(base.model.dtype.itemsize)
    return 2 * anatomy.layers * anatomy.kv_width * size * tokens
