"""Points of a search: configurations, by what decides their cost and by what was chosen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pretune.core.digest import SHORT
from pretune.core.origin import RowKind
from pretune.core.scope import Scope
from pretune.spec.methods import METHODS, AnyMethod, MethodConfig

NOTHING = "nothing"
"""What a training begins with that begins with no adapter."""

OWN = "as the task says"
"""The adapter that the task itself names under ``begin_with``."""


class Shape(NamedTuple):
    """What decides memory, time and size: ``size`` is a rank or a length, ``None`` without one."""

    method: str
    scope: Scope
    size: int | None

    def __str__(self) -> str:
        sized = "" if self.size is None else f" {size_key(self.method)}={self.size}"
        return f"{self.method}{sized}, {self.scope}"


@dataclass(frozen=True)
class Point:
    """One configuration. ``rate`` is a factor of the method's vetted rate; ``shares`` limit kinds
    of rows; ``begin`` names an adapter (``task@digest``, or ``OWN``) that fixes ``shape``."""

    shape: Shape
    rate: float
    shares: Mapping[RowKind, float] = field(default_factory=dict)
    begin: str = NOTHING

    def __str__(self) -> str:
        parts = [str(self.shape), f"rate x{self.rate:.3g}"]
        parts += [f"{kind} <= {share:g}" for kind, share in self.shares.items()]
        if self.begin != NOTHING:
            parts.append(f"begun with {self.begin}")
        return ", ".join(parts)

    @property
    def knobs(self) -> dict[str, str | float]:
        """Each knob and its value; a size under the name of its kind."""
        found: dict[str, str | float] = {
            "method": self.shape.method,
            "scope": str(self.shape.scope),
            "learning rate": self.rate,
        }
        if self.shape.size is not None:
            found[size_key(self.shape.method)] = str(self.shape.size)
        found |= {f"share of {kind}": f"{share:g}" for kind, share in self.shares.items()}
        return found | {"begin with": self.begin}


@dataclass(frozen=True)
class Beginning:
    """An adapter that a training may begin with."""

    folder: Path
    method: AnyMethod
    scope: Scope

    @property
    def shape(self) -> Shape:
        """Its shape."""
        return shape_of(self.method, self.scope)


def size_key(method: str) -> str:
    """What the size of ``method`` is called: ``rank``, ``length``, or nothing."""
    fields = METHODS[method].model_fields
    return "rank" if "rank" in fields else "length" if "length" in fields else ""


def has_rank(method: str) -> bool:
    """Whether the size of ``method`` is a rank."""
    return size_key(method) == "rank"


def shape_of(method: MethodConfig, scope: Scope) -> Shape:
    """The shape of a configured method."""
    name: str = getattr(method, "name", "")
    key = size_key(name)
    return Shape(name, scope, getattr(method, key) if key else None)


def beginning_name(task: str, digest: str) -> str:
    """How an adapter is called in a search."""
    return f"{task}@{digest[:SHORT]}"
