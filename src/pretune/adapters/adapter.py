"""The adapter: trained weights and all that decides their meaning; immutable, named by content."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

from safetensors.torch import save

from pretune.adapters.method import Method, Weights
from pretune.adapters.registry import build_method
from pretune.bases import Base
from pretune.core.digest import SHORT, of_bytes, of_json
from pretune.core.errors import AdapterError
from pretune.core.scope import SCOPE_VERSION, Scope
from pretune.spec.methods import AnyMethod

_BLANKS: WeakKeyDictionary[Base, dict[str, Weights]] = WeakKeyDictionary()
"""By base and method, what :meth:`Method.saved` gives: for a base of many layers that takes longer
than reading the file, and a server reads many adapters of one kind."""


@dataclass(frozen=True, eq=False)
class Adapter:
    """``weights`` are by ``site.part``; ``notes`` (task, metrics, data digest) name no identity;
    ``stored`` is the digest of the file that the weights were read from, if they were."""

    config: AnyMethod
    scope: Scope
    weights: Weights
    base_digest: str
    template_digest: str
    notes: Mapping[str, Any] = field(default_factory=dict)
    stored: str | None = None

    @cached_property
    def method(self) -> Method[Any]:
        """What computes it."""
        return build_method(self.config)

    @cached_property
    def serialized(self) -> bytes:
        """The weights as safetensors, in the order of their names."""
        return save({name: self.weights[name].contiguous() for name in sorted(self.weights)})

    @cached_property
    def weights_digest(self) -> str:
        """Digest of the weights alone."""
        return self.stored or of_bytes(self.serialized)

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides what the adapter computes."""
        return {
            "weights": self.weights_digest,
            "method": self.config.model_dump(mode="json"),
            "scope": str(self.scope),
            "scope_version": SCOPE_VERSION,
            "base": self.base_digest,
            "template": self.template_digest,
        }

    @cached_property
    def digest(self) -> str:
        """The adapter's name."""
        return of_json(self.identity)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(value.numel() for value in self.weights.values())

    def by_site(self, base: Base) -> dict[str, Weights]:
        """Weights of each site by part, checked against ``base``.

        Raises:
            AdapterError: another base or template, unmatched or misshapen weights, no effect.
        """
        self._check_base(base)
        sites = {site.name: site for site in self.method.sites(base.anatomy)}
        grouped: dict[str, Weights] = {name: {} for name in sites}
        for name, value in self.weights.items():
            place, _, part = name.rpartition(".")
            if place not in grouped:
                raise AdapterError(
                    f'weight "{name}" matches no part of base "{base.name}"; known sites: '
                    f"{_few(sites)}"
                )
            grouped[place][part] = value
        _check_shapes(self.weights, self._blanks(base))
        self._check_effect()
        return grouped

    def _blanks(self, base: Base) -> Weights:
        known, kind = _BLANKS.setdefault(base, {}), self.config.model_dump_json()
        if kind not in known:
            known[kind] = self.method.saved(base.anatomy)
        return known[kind]

    def _check_base(self, base: Base) -> None:
        if self.base_digest != base.digest:
            raise AdapterError(
                f'adapter {self.digest[:SHORT]} was trained on base "{self.base_digest[:SHORT]}", '
                f'not on "{base.name}" ("{base.digest[:SHORT]}"); load its own base or train anew'
            )
        if self.template_digest != base.renderer.digest:
            raise AdapterError(
                f"adapter {self.digest[:SHORT]} was trained with another tokenizer or chat "
                f'template than base "{base.name}" has now; restore that template or train anew'
            )

    def _check_effect(self) -> None:
        parts = self.method.effect_parts
        if parts and not any(
            bool(value.any())
            for name, value in self.weights.items()
            if name.rpartition(".")[2] in parts
        ):
            raise AdapterError(
                f'adapter {self.digest[:SHORT]} has no effect: all of "{", ".join(parts)}" is '
                "zero, as before training; train it, or ask for the base itself"
            )


def _check_shapes(weights: Weights, expected: Weights) -> None:
    if missing := sorted(set(expected) - set(weights)):
        raise AdapterError(f'weight "{missing[0]}" is missing; the file is incomplete')
    if surplus := sorted(set(weights) - set(expected)):
        raise AdapterError(f'weight "{surplus[0]}" is not one of this method')
    for name in sorted(weights):
        if weights[name].shape != expected[name].shape:
            raise AdapterError(
                f'weight "{name}" has shape {tuple(weights[name].shape)}, expected '
                f"{tuple(expected[name].shape)}"
            )


def _few(names: Mapping[str, object], most: int = 8) -> str:
    shown = list(names)[:most]
    return ", ".join(shown) + (", ..." if len(names) > most else "")
