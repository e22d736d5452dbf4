"""DiReFT: ``h + W2^T (W1 h + b)`` on the residual stream (Wu et al. 2024, arXiv 2404.03592, eq. 4).

LoReFT without its orthogonality constraint; of PreFT's variants the one with the least work.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from pretune.adapters.method import Method, Weights, kaiming
from pretune.adapters.rows import Rows, product
from pretune.bases.anatomy import Anatomy, Site
from pretune.spec.methods import DireftConfig


class Direft(Method[DireftConfig]):
    """One low-rank edit behind every block."""

    effect_parts = ("up",)

    def sites(self, anatomy: Anatomy) -> tuple[Site, ...]:
        """Every decoder block."""
        return anatomy.blocks

    def start(self, site: Site, generator: torch.Generator) -> Weights:
        """Noise down, zero up: no effect before training."""
        rank = self.config.rank
        return {
            "down": kaiming(generator, rank, site.width_in),
            "bias": torch.zeros(rank),
            "up": torch.zeros(site.width_out, rank),
        }

    def edit(
        self, site: Site, weights: Mapping[str, Tensor], x: Tensor, y: Tensor, rows: Rows
    ) -> Tensor:
        """The edit reads what the block has just written."""
        h = product(rows.take(y), weights["down"].to(y.dtype), weights["bias"].to(y.dtype))
        return rows.add_product(y, h, weights["up"].to(y.dtype))
