"""What a method is: where it acts, what it starts from, and how it changes a site's output."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from pretune.adapters.rows import Rows
from pretune.bases import Base
from pretune.bases.anatomy import Anatomy, Site
from pretune.spec.methods import MethodConfig

C = TypeVar("C", bound=MethodConfig)

Weights = dict[str, Tensor]
"""Weights of a whole adapter by ``site.part``, or of one site by ``part``."""

BySite = Mapping[str, Mapping[str, Tensor]]
"""Weights of a whole adapter by site and part."""


class LowRank(NamedTuple):
    """A linear layer's update ``scale * up @ down``: ``down (rank, width_in)``, ``up (width_out,
    rank)``."""

    down: Tensor
    up: Tensor
    scale: float


class Method(ABC, Generic[C]):
    """Computes one kind of adapter. Stateless but for its config; weights are passed in.

    A subclass states :meth:`sites`, :meth:`start` and :meth:`edit`, and the rest only where it
    differs. Registration is its config class in ``pretune/spec/methods.py``.
    """

    effect_parts: ClassVar[tuple[str, ...]] = ()
    """Parts of which one at least must be non-zero for the adapter to have any effect."""

    mergeable: ClassVar[bool] = False
    """Whether, at scope ``all``, the update can be folded into the base's weights."""

    needs_float32: ClassVar[bool] = False
    """Whether :meth:`edit` computes with the weights as they are saved. If not, it casts them to
    the dtype of what it edits, and who serves may do that once."""

    def __init__(self, config: C) -> None:
        self.config = config

    @abstractmethod
    def sites(self, anatomy: Anatomy) -> tuple[Site, ...]:
        """The sites whose output the method changes."""

    @abstractmethod
    def start(self, site: Site, generator: torch.Generator) -> Weights:
        """Float32 weights of ``site`` by part, before training."""

    @abstractmethod
    def edit(
        self, site: Site, weights: Mapping[str, Tensor], x: Tensor, y: Tensor, rows: Rows
    ) -> Tensor:
        """The site's output ``y (N, width_out)`` with ``rows`` changed; ``x (N, width_in)`` is its
        input. ``y`` is not changed in place."""

    def low_rank(self, weights: Mapping[str, Tensor]) -> LowRank | None:
        """What :meth:`edit` adds at a linear layer, if it is of this kind and nothing else: many
        such adapters on a few rows each are computed together."""
        return None

    def frozen(self, anatomy: Anatomy, weights: BySite) -> BySite:
        """``weights`` that nobody trains, as they are mounted: with what :meth:`edit` would else
        work out of them and the base at every step."""
        return weights

    def initial(self, base: Base, text: str | None, seed: int) -> Weights:
        """Weights of a whole adapter on ``base`` before training; ``text`` is what methods that
        start from a text use. Deterministic in ``seed``."""
        generator = torch.Generator().manual_seed(seed)
        return {
            f"{site.name}.{part}": value
            for site in self.sites(base.anatomy)
            for part, value in self.start(site, generator).items()
        }

    def bake(self, anatomy: Anatomy, weights: Weights) -> Weights:
        """Weights to save: without what only training needs."""
        return weights

    def blank(self, site: Site) -> Weights:
        """Weights of ``site`` as :meth:`start` has them, but without numbers (on the device
        ``meta``). A start that reads the base's own weights states their shapes here."""
        with torch.device("meta"):
            return self.start(site, torch.Generator())

    def blanks(self, anatomy: Anatomy) -> Weights:
        """What is trained on a base of this ``anatomy``, without numbers."""
        return {
            f"{site.name}.{part}": value
            for site in self.sites(anatomy)
            for part, value in self.blank(site).items()
        }

    def saved(self, anatomy: Anatomy) -> Weights:
        """What an adapter on a base of this ``anatomy`` holds, without numbers."""
        return self.bake(anatomy, self.blanks(anatomy))

    def rate_ratio(self, part: str) -> float:
        """Learning rate of ``part`` over the adapter's learning rate."""
        return 1.0

    def merged(self, site: Site, weights: Mapping[str, Tensor], matrix: Tensor) -> Tensor:
        """``matrix (width_out, width_in)`` of the base with the update folded in; only for
        ``mergeable`` methods."""
        raise NotImplementedError


def gaussian(generator: torch.Generator, *shape: int, std: float) -> Tensor:
    """Normal noise of ``std``."""
    return torch.randn(*shape, generator=generator) * std


def kaiming(generator: torch.Generator, rows: int, columns: int) -> Tensor:
    """Uniform noise as ``nn.Linear`` starts with: bound ``1 / sqrt(columns)``."""
    bound = columns**-0.5
    return torch.empty(rows, columns).uniform_(-bound, bound, generator=generator)
