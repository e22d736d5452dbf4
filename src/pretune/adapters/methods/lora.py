"""LoRA: ``y + scale * B A x`` on linear layers (Hu et al. 2021, arXiv 2106.09685, eq. 3)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pretune.adapters.method import LowRank, Method, Weights, kaiming
from pretune.adapters.rows import Rows, product
from pretune.bases.anatomy import Anatomy, Site
from pretune.spec.methods import LoraConfig


class Lora(Method[LoraConfig]):
    """``A (rank, in)`` starts as noise, ``B (out, rank)`` as zero."""

    effect_parts = ("B",)
    mergeable = True

    def sites(self, anatomy: Anatomy) -> tuple[Site, ...]:
        """The linear layers with the configured roles."""
        return anatomy.linears_for(self.config.sites)

    def start(self, site: Site, generator: torch.Generator) -> Weights:
        """Noise in A, zero in B: no effect before training."""
        rank = self.config.rank
        return {
            "A": kaiming(generator, rank, site.width_in),
            "B": torch.zeros(site.width_out, rank),
        }

    def edit(
        self, site: Site, weights: Mapping[str, Tensor], x: Tensor, y: Tensor, rows: Rows
    ) -> Tensor:
        """Two products; the scale meets the narrow one."""
        h = product(rows.take(x), weights["A"].to(x.dtype)) * self.config.scale
        return rows.add_product(y, h, weights["B"].to(y.dtype))

    def low_rank(self, weights: Mapping[str, Tensor]) -> LowRank:
        """All that LoRA is."""
        return LowRank(weights["A"], weights["B"], self.config.scale)

    def rate_ratio(self, part: str) -> float:
        """LoRA+ (arXiv 2402.12354): B learns faster than A."""
        return self.config.b_rate_ratio if part == "B" else 1.0

    def merged(self, site: Site, weights: Mapping[str, Tensor], matrix: Tensor) -> Tensor:
        """``W + scale * B A``."""
        return matrix + self.config.scale * (weights["B"] @ weights["A"])
