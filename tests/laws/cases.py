"""Every registered method x scope, and adapters of them whose weights really do something."""

import torch

from pretune.adapters.adapter import Adapter
from pretune.adapters.registry import build_method
from pretune.bases import Base
from pretune.core.errors import ScopeError
from pretune.core.records import Request
from pretune.core.scope import Scope
from pretune.core.segments import Role, TokenSegment, Turn
from pretune.spec.methods import (
    METHODS,
    BottleneckConfig,
    LoraConfig,
    MethodConfig,
    PrefixTuningConfig,
    PromptTuningConfig,
)

SMALL = {"rank": 3, "length": 4}
"""Sizes for the laws, where the method has such a size."""


def _small(kind: type[MethodConfig], **options: object) -> MethodConfig:
    sizes = {key: value for key, value in SMALL.items() if key in kind.model_fields}
    return kind(**(sizes | options))


CONFIGS: dict[str, MethodConfig] = {
    **{name: _small(kind) for name, kind in METHODS.items()},
    "lora-rs-qv": _small(LoraConfig, rslora=True, sites=("q", "v")),
    "bottleneck-sequential": _small(BottleneckConfig, placement="sequential"),
    "prefix_tuning-projected": _small(PrefixTuningConfig, start="zero", projection=8),
    "prompt_tuning-random": _small(PromptTuningConfig, start="random"),
}


def _allowed(config: MethodConfig, scope: Scope) -> bool:
    try:
        config.check_scope(scope)
    except ScopeError:
        return False
    return True


VARIANTS = [
    (name, scope) for name, config in CONFIGS.items() for scope in Scope if _allowed(config, scope)
]
"""The law suite's parameters: a new method joins by its registration alone."""


def make_adapter(base: Base, config: MethodConfig, scope: Scope, seed: int = 0) -> Adapter:
    """An adapter as training might leave it: its start, moved by noise, baked."""
    method = build_method(config)
    generator = torch.Generator().manual_seed(seed + 100)
    weights = {
        name: value + 0.1 * torch.randn(value.shape, generator=generator)
        for name, value in method.initial(base, "Say it.", seed).items()
    }
    weights = method.bake(base.anatomy, weights)
    return Adapter(config, scope, weights, base.digest, base.renderer.digest)


TURNS = (
    Turn(Role.SYSTEM, "Be brief."),
    Turn(Role.CONTEXT, "The rate is 4%."),
    Turn(Role.USER, "Which rate?"),
)
ANSWER = Turn(Role.TARGET, "4%")


def segments_of(base: Base, *turns: Turn) -> tuple[TokenSegment, ...]:
    return base.renderer.encode(base.renderer.render(turns))


def request_of(base: Base, adapter: str | None, *turns: Turn, most: int = 5) -> Request:
    return Request("r", segments_of(base, *(turns or TURNS)), adapter, most)
