"""DoRA: a direction by LoRA, a trained magnitude (Liu et al. 2024, arXiv 2402.09353, eq. 5)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pretune.adapters.matrices import bias_of, matrix_of
from pretune.adapters.method import BySite, Method, Weights, kaiming
from pretune.adapters.rows import Rows, product
from pretune.bases.anatomy import Anatomy, Site
from pretune.spec.methods import DoraConfig


class Dora(Method[DoraConfig]):
    """``m * (W + scale * B A) x / |W + scale * B A|``, the norm taken per output row.

    The norm is a constant for gradients, as in the paper's section 4.3.
    """

    effect_parts = ("B",)
    mergeable = True
    needs_float32 = True

    def sites(self, anatomy: Anatomy) -> tuple[Site, ...]:
        """The linear layers with the configured roles."""
        return anatomy.linears_for(self.config.sites)

    def start(self, site: Site, generator: torch.Generator) -> Weights:
        """LoRA's start, and the magnitude of the base's own rows."""
        rank = self.config.rank
        return {
            "A": kaiming(generator, rank, site.width_in),
            "B": torch.zeros(site.width_out, rank),
            "magnitude": matrix_of(site.module).float().norm(dim=1).cpu(),
        }

    def blank(self, site: Site) -> Weights:
        """Without a look at the base's rows."""
        rank = self.config.rank
        return {
            "A": torch.empty(rank, site.width_in, device="meta"),
            "B": torch.empty(site.width_out, rank, device="meta"),
            "magnitude": torch.empty(site.width_out, device="meta"),
        }

    def frozen(self, anatomy: Anatomy, weights: BySite) -> BySite:
        """With the factor of each site, which takes a pass over the base's whole matrix."""
        sites = {site.name: site for site in self.sites(anatomy)}
        return {
            name: {**parts, "factor": self._factor(sites[name], parts)}
            for name, parts in weights.items()
        }

    def _factor(self, site: Site, weights: Mapping[str, Tensor]) -> Tensor:
        """``m / |W + scale * B A|`` per output, ``(width_out,)``."""
        with torch.no_grad():
            matrix = matrix_of(site.module).to(weights["B"].dtype)
            norm = torch.addmm(matrix, weights["B"], weights["A"], alpha=self.config.scale)
            norm = norm.norm(dim=1)
        factor: Tensor = weights["magnitude"] / norm
        return factor

    def edit(
        self, site: Site, weights: Mapping[str, Tensor], x: Tensor, y: Tensor, rows: Rows
    ) -> Tensor:
        """The base's product is taken from ``y``; only the bias must be set aside."""
        known = weights.get("factor")
        factor = (self._factor(site, weights) if known is None else known).to(y.dtype)
        base = rows.take(y)
        if (bias := bias_of(site.module)) is not None:
            base = base - bias
        h = product(rows.take(x), weights["A"].to(x.dtype)) * self.config.scale
        update = product(h, weights["B"].to(y.dtype))
        return rows.add(y, ((factor - 1) * base + factor * update).to(y.dtype))

    def merged(self, site: Site, weights: Mapping[str, Tensor], matrix: Tensor) -> Tensor:
        """The paper's equation 5."""
        update = matrix + self.config.scale * (weights["B"] @ weights["A"])
        return self._factor(site, weights)[:, None] * update
