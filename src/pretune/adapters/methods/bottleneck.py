"""Bottleneck adapter at the FFN: ``up(relu(down(.)))``, beside it or behind it.

Houlsby et al. 2019 (arXiv 1902.00751) put it behind, He et al. 2022 (arXiv 2110.04366) beside;
PrAd-Adapter is the same on the prompt alone.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from pretune.adapters.method import Method, Weights, kaiming
from pretune.adapters.rows import Rows, product
from pretune.bases.anatomy import Anatomy, Site
from pretune.spec.methods import BottleneckConfig


def bottleneck_start(site: Site, rank: int, generator: torch.Generator) -> Weights:
    """Noise down, zero up: no effect before training."""
    return {
        "down": kaiming(generator, rank, site.width_in),
        "down_bias": torch.zeros(rank),
        "up": torch.zeros(site.width_out, rank),
        "up_bias": torch.zeros(site.width_out),
    }


def bottleneck(weights: Mapping[str, Tensor], x: Tensor, y: Tensor, rows: Rows) -> Tensor:
    """Add ``up(relu(down(x)))`` to ``rows`` of ``y``."""
    w = {part: value.to(y.dtype) for part, value in weights.items()}
    h = product(rows.take(x), w["down"], w["down_bias"]).relu()
    return rows.add(y, product(h, w["up"], w["up_bias"]).to(y.dtype))


class Bottleneck(Method[BottleneckConfig]):
    """Parallel: from the FFN's input. Sequential: from its output."""

    effect_parts = ("up", "up_bias")

    def sites(self, anatomy: Anatomy) -> tuple[Site, ...]:
        """Every FFN."""
        return anatomy.ffns

    def start(self, site: Site, generator: torch.Generator) -> Weights:
        """See :func:`bottleneck_start`."""
        return bottleneck_start(site, self.config.rank, generator)

    def edit(
        self, site: Site, weights: Mapping[str, Tensor], x: Tensor, y: Tensor, rows: Rows
    ) -> Tensor:
        """See :func:`bottleneck`."""
        return bottleneck(weights, x if self.config.placement == "parallel" else y, y, rows)
