"""What training sees of a method: parameters to step, and weights to save."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pretune.adapters.adapter import Adapter
from pretune.adapters.injection import Injection, Mounted
from pretune.adapters.method import Weights
from pretune.adapters.registry import build_method
from pretune.bases import Base
from pretune.core.digest import SHORT
from pretune.core.errors import AdapterError
from pretune.core.scope import Scope
from pretune.spec.methods import AnyMethod, FullConfig

TUNED = "tuned"
"""The name under which the adapter in training is mounted."""


class Tunable(ABC):
    """An adapter in training, mounted on its base as ``tuned`` until :meth:`close`."""

    def __init__(self, injection: Injection, config: AnyMethod, scope: Scope) -> None:
        config.check_scope(scope)
        self.injection = injection
        self.config = config
        self.scope = scope
        self.method = build_method(config)
        self.begun_with: str | None = None

    @property
    @abstractmethod
    def parameters(self) -> dict[str, nn.Parameter]:
        """What is trained, by name."""

    @property
    @abstractmethod
    def mounted(self) -> Mounted:
        """Its slot in the injection."""

    @abstractmethod
    def close(self) -> None:
        """Unmount, and leave the base as it was."""

    def begin_with(self, adapter: Adapter) -> None:
        """Take up the weights of ``adapter`` in the place of the method's own start.

        Raises:
            AdapterError: it is of another base, method or scope, or keeps less than is trained.
        """
        for what, theirs, ours in (
            ("method", adapter.config.model_dump(mode="json"), self.config.model_dump(mode="json")),
            ("scope", str(adapter.scope), str(self.scope)),
        ):
            if theirs != ours:
                raise AdapterError(
                    f'cannot begin with adapter {adapter.digest[:SHORT]}: its {what} is "{theirs}" '
                    f'and the task says "{ours}"; say the same, or remove "begin_with"'
                )
        adapter.by_site(self.injection.base)
        if missing := sorted(set(self.parameters) - set(adapter.weights)):
            raise AdapterError(
                f"cannot begin with adapter {adapter.digest[:SHORT]}: weight "
                f'"{missing[0]}" was trained and not kept; remove "begin_with", or the projection'
            )
        self.load(adapter.weights)
        self.begun_with = adapter.digest

    def load(self, weights: Weights) -> None:
        """Take up the parameters of an earlier :meth:`state`."""
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(weights[name])

    def state(self) -> Weights:
        """A copy of the parameters on the CPU."""
        return {name: value.clone() for name, value in self.live().items()}

    def live(self) -> Weights:
        """The parameters on the CPU, to be saved before the next step changes them."""
        return {name: p.detach().cpu() for name, p in self.parameters.items()}

    def groups(self, rate: float, decay: float) -> list[dict[str, Any]]:
        """Optimiser groups with the method's own ratios of the learning ``rate``."""
        by_ratio: dict[float, list[nn.Parameter]] = {}
        for name, parameter in self.parameters.items():
            ratio = self.method.rate_ratio(name.rpartition(".")[2])
            by_ratio.setdefault(ratio, []).append(parameter)
        return [
            {"params": parameters, "lr": rate * ratio, "weight_decay": decay}
            for ratio, parameters in sorted(by_ratio.items())
        ]

    def adapter(self, **notes: Any) -> Adapter:
        """The adapter as it is now: an immutable copy of what is needed to serve it."""
        base = self.injection.base
        with torch.no_grad():
            weights = self.method.bake(base.anatomy, self.state())
        return Adapter(self.config, self.scope, weights, base.digest, base.renderer.digest, notes)


class MountedTunable(Tunable):
    """An adapter beside a frozen base."""

    def __init__(
        self, injection: Injection, config: AnyMethod, scope: Scope, text: str | None, seed: int
    ) -> None:
        super().__init__(injection, config, scope)
        base = injection.base
        initial = self.method.initial(base, text, seed)
        if not initial:
            raise AdapterError(
                f'method "{config.name}" matches no part of base "{base.name}"; its linear layers '
                f"are {', '.join(sorted({str(site.part) for site in base.anatomy.linears}))}"
            )
        self._parameters = {
            name: nn.Parameter(value.to(base.device)) for name, value in initial.items()
        }
        by_site: dict[str, dict[str, Tensor]] = {}
        for name, parameter in self._parameters.items():
            site, _, part = name.rpartition(".")
            by_site.setdefault(site, {})[part] = parameter
        self._mounted = injection.mount_live(TUNED, self.method, scope, by_site)

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The adapter's weights, float32."""
        return self._parameters

    @property
    def mounted(self) -> Mounted:
        """Its slot."""
        return self._mounted

    def close(self) -> None:
        """Unmount."""
        self.injection.unmount(TUNED)


class FullTunable(Tunable):
    """Every weight of the base, trained in place; the base's own are kept aside until the end."""

    def __init__(self, injection: Injection, config: FullConfig, scope: Scope) -> None:
        super().__init__(injection, config, scope)
        self._own = _leaf_parameters(injection.base)
        if injection.base.precision == "nf4":
            raise AdapterError('method "full" cannot train a 4-bit base; use method "lora"')
        self._kept = {name: p.detach().clone() for name, p in self._own.items()}
        for parameter in self._own.values():
            parameter.requires_grad_(True)
        self._mounted = injection.mount_live(TUNED, self.method, scope, {})

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The base's parameters themselves, in the base's dtype; a tied one once."""
        return self._own

    @property
    def mounted(self) -> Mounted:
        """A slot without weights: the base itself is the adapter."""
        return self._mounted

    def close(self) -> None:
        """Unmount, and give the base its own weights back."""
        self.injection.unmount(TUNED)
        self.load(self._kept)
        for parameter in self._own.values():
            parameter.requires_grad_(False)
            parameter.grad = None


def _leaf_parameters(base: Base) -> dict[str, nn.Parameter]:
    return {
        f"{site.name}.{part}": parameter
        for site in base.anatomy.leaves
        for part, parameter in site.module.named_parameters(recurse=False)
    }


@contextmanager
def tuning(
    injection: Injection, config: AnyMethod, scope: Scope, *, text: str | None = None, seed: int = 0
) -> Iterator[Tunable]:
    """A new adapter in training on the base of ``injection``; the base is as before at the end.

    Args:
        text: what methods that start from a text use, the task's instruction by default.
        seed: of the start's noise.

    Raises:
        ScopeError: the method refuses ``scope``.
        AdapterError: the method matches no part of the base.
    """
    tunable: Tunable = (
        FullTunable(injection, config, scope)
        if isinstance(config, FullConfig)
        else MountedTunable(injection, config, scope, text, seed)
    )
    try:
        yield tunable
    finally:
        tunable.close()
