"""Full tuning: every weight of the base. The yardstick, not a way to serve many tasks."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.func import functional_call

from pretune.adapters.method import Method, Weights
from pretune.adapters.rows import Rows
from pretune.bases.anatomy import Anatomy, Site
from pretune.spec.methods import FullConfig


class Full(Method[FullConfig]):
    """Each leaf module is run again with the adapter's own parameters on the adapter's rows.

    That is right for a mixed batch, as leaves act token by token, and costs the product twice;
    training changes the base in place instead (see ``adapters/tunable.py``).
    """

    mergeable = True

    def sites(self, anatomy: Anatomy) -> tuple[Site, ...]:
        """Every module with parameters."""
        return anatomy.leaves

    def start(self, site: Site, generator: torch.Generator) -> Weights:
        """The base's own parameters."""
        own = site.module.named_parameters(recurse=False)
        return {part: value.detach().float().cpu().clone() for part, value in own}

    def blank(self, site: Site) -> Weights:
        """Without a copy."""
        own = site.module.named_parameters(recurse=False)
        return {part: torch.empty(value.shape, device="meta") for part, value in own}

    def edit(
        self, site: Site, weights: Mapping[str, Tensor], x: Tensor, y: Tensor, rows: Rows
    ) -> Tensor:
        """The difference that the tuned parameters make at this leaf."""
        own = {part: value.to(y.dtype) for part, value in weights.items()}
        tuned: Tensor = functional_call(site.module, own, (rows.take(x),))
        return rows.add(y, tuned - rows.take(y))
