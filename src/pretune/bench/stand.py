"""The stand: a base with random weights, adapters that do something, and engines over both."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, cached_property
from zlib import crc32

import torch
from torch import Tensor

from pretune.adapters.adapter import Adapter
from pretune.adapters.registry import build_method
from pretune.bases import Base
from pretune.bases.anatomy import dissect
from pretune.bases.chat import ChatRenderer
from pretune.bases.fakes import byte_tokenizer
from pretune.bench.work import Work
from pretune.core.records import Request
from pretune.core.scope import Scope
from pretune.core.segments import Role, TokenSegment
from pretune.engine.engine import Engine, Size
from pretune.spec.methods import LoraConfig

TOKENS_PER_STEP = 4096
"""So that the prompts of a whole batch are one step, here as in the peers."""

WARM_PROMPT = 8
"""Tokens of a prompt whose run only brings adapters into their slots and chooses kernels."""

DISTINCT = 32
"""Adapters whose weights differ; any more names share them, each in a slot of its own."""


class Stand:
    """Everything that the measures of one ``work`` share, on one ``device``."""

    def __init__(self, work: Work, device: str = "cpu") -> None:
        self.work = work
        self.base = _random_base(work, torch.device(device))
        self._adapter = cache(self._make_adapter)

    @cached_property
    def twin(self) -> Base:
        """The same base in other memory. Engines that are compared have a base each: with another
        engine's hooks on it, a base's decode is not the fused one."""
        model = copy.deepcopy(self.base.model)
        return replace(self.base, model=model, anatomy=dissect(model))

    def placed(self, repeat: int) -> tuple[Base, Base]:
        """The base and its twin, exchanged in every second repeat: where weights lie in memory can
        cost as much as what is measured."""
        return (self.base, self.twin) if repeat % 2 == 0 else (self.twin, self.base)

    @contextmanager
    def engine(
        self,
        base: Base,
        *,
        slots: int = 1,
        sequences: int | None = None,
        tokens: int | None = None,
        load: Callable[[str], Adapter] | None = None,
    ) -> Iterator[Engine]:
        """An engine for ``sequences`` requests of ``tokens`` each, the work's unless said."""
        sequences = sequences or self.work.requests
        tokens = tokens or self.work.prompt + self.work.new
        block = Size().block
        size = Size(
            blocks=sequences * (-(-tokens // block) + 1),
            block=block,
            slots=slots,
            tokens=TOKENS_PER_STEP,
            sequences=sequences,
        )
        engine = Engine(base, (), load or self.load, size)
        try:
            yield engine
        finally:
            engine.close()

    def load(self, name: str) -> Adapter:
        """The adapter that :meth:`names` calls so."""
        scope, _, number = name.partition("-")
        return self._adapter(Scope(scope), int(number) % DISTINCT)

    def names(self, tasks: int, scope: Scope = Scope.PROMPT, count: int = 0) -> list[str | None]:
        """The adapter of each of ``count`` requests (the work's, if 0), ``tasks`` in turn."""
        return [f"{scope}-{i % tasks}" for i in range(count or self.work.requests)]

    def requests(
        self, names: Sequence[str | None], new: int, seed: int, prompt: int = 0
    ) -> list[Request]:
        """A request for every name, each with a prompt of its own that ``seed`` decides."""
        prompt = prompt or self.work.prompt
        return [
            Request(f"{seed}:{i}", (segment(self.ids(prompt, seed, i)),), name, new)
            for i, name in enumerate(names)
        ]

    def ids(self, count: int, *seed: int) -> tuple[int, ...]:
        """Random tokens."""
        # Not hash(): it is the same for -1 and -2.
        draw = torch.Generator().manual_seed(crc32(repr(seed).encode()))
        vocabulary = self.base.anatomy.vocabulary
        return tuple(torch.randint(0, vocabulary, (count,), generator=draw).tolist())

    def _make_adapter(self, scope: Scope, number: int) -> Adapter:
        config = LoraConfig(rank=self.work.rank)
        return Adapter(
            config, scope, self._weights(number), self.base.digest, self.base.renderer.digest
        )

    def _weights(self, number: int) -> dict[str, Tensor]:
        draw = torch.Generator().manual_seed(number)
        method = build_method(LoraConfig(rank=self.work.rank))
        return {
            name: torch.randn(value.shape, generator=draw) * 0.1 if name.endswith(".B") else value
            for name, value in method.initial(self.base, None, number).items()
        }


def segment(ids: Sequence[int], role: Role = Role.USER) -> TokenSegment:
    """A part of a prompt."""
    return TokenSegment(role, tuple(ids))


def _random_base(work: Work, device: torch.device) -> Base:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model("qwen2", **work.shape)
    with torch.random.fork_rng(), device:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model = model.eval().requires_grad_(False)
    tokenizer = byte_tokenizer(int(config.vocab_size))
    renderer = ChatRenderer(tokenizer, int(config.max_position_embeddings))
    digest = f"random weights of {work.name}"
    return Base(f"random-{work.name}", digest, "bf16", model, renderer, dissect(model))
