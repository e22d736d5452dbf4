"""MAM adapter: a prefix and a parallel bottleneck (He et al. 2022, arXiv 2110.04366, sec. 4.6)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pretune.adapters.method import Method, Weights
from pretune.adapters.methods.bottleneck import bottleneck, bottleneck_start
from pretune.adapters.methods.prefix_tuning import prefix_from_text, prefix_sites, write_prefix
from pretune.adapters.rows import Rows
from pretune.bases import Base
from pretune.bases.anatomy import Anatomy, Part, Site
from pretune.spec.methods import MamConfig, PrefixTuningConfig


class Mam(Method[MamConfig]):
    """The two parts act at different sites and know nothing of each other."""

    def sites(self, anatomy: Anatomy) -> tuple[Site, ...]:
        """Key and value layers for the prefix, FFNs for the bottleneck."""
        return (*prefix_sites(anatomy), *anatomy.ffns)

    def start(self, site: Site, generator: torch.Generator) -> Weights:
        """Zero prefix; bottleneck without effect."""
        if site.part is Part.FFN:
            return bottleneck_start(site, self.config.rank, generator)
        return {"prefix": torch.zeros(self.config.length, site.width_out)}

    def initial(self, base: Base, text: str | None, seed: int) -> Weights:
        """The prefix starts as zero or as what the base writes for a text."""
        weights = super().initial(base, text, seed)
        if self.config.start == "text":
            weights |= prefix_from_text(base, self.config.text or text, self.config.length)
        return weights

    def rate_ratio(self, part: str) -> float:
        """A prefix needs the rate it has in prefix tuning."""
        ratio = PrefixTuningConfig.learning_rate / MamConfig.learning_rate
        return ratio if part == "prefix" else 1.0

    def edit(
        self, site: Site, weights: Mapping[str, Tensor], x: Tensor, y: Tensor, rows: Rows
    ) -> Tensor:
        """By site."""
        if site.part is Part.FFN:
            return bottleneck(weights, x, y, rows)
        return write_prefix(weights["prefix"], y, rows)
