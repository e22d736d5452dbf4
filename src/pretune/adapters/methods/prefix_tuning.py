"""Prefix tuning: trained keys and values per layer (Li and Liang 2021, arXiv 2101.00190).

A prefix is a run of virtual tokens whose keys and values are written by the adapter instead of the
base. They are written where the base's own key and value layers put theirs, before rotary
positions, so the same prefix works wherever the virtual tokens stand (scope ``suffix``), with
gradient checkpointing and with any attention.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from pretune.adapters.method import Method, Weights, gaussian
from pretune.adapters.methods.prompt_tuning import text_ids
from pretune.adapters.rows import Rows
from pretune.bases import Base
from pretune.bases.anatomy import Anatomy, Part, Site
from pretune.spec.methods import PrefixTuningConfig


def prefix_sites(anatomy: Anatomy) -> tuple[Site, ...]:
    """The layers that write keys or values."""
    return tuple(s for s in anatomy.linears if s.part in (Part.KEY, Part.VALUE, Part.QKV))


def prefix_from_text(base: Base, text: str | None, length: int) -> Weights:
    """What the base itself writes at these sites for ``length`` tokens of ``text``."""
    captured: Weights = {}
    handles = [
        site.module.register_forward_hook(
            lambda _module, _args, y, name=site.name: captured.update({f"{name}.prefix": y[0]})
        )
        for site in prefix_sites(base.anatomy)
    ]
    try:
        with torch.no_grad():
            base.backbone(text_ids(base, text, length)[None].to(base.device), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return {name: value.float().cpu().clone() for name, value in captured.items()}


def write_prefix(prefix: Tensor, y: Tensor, rows: Rows) -> Tensor:
    """``y`` with ``prefix (length, width_out)`` at the virtual positions.

    Where a layer writes queries too, those are replaced as well: nobody reads what a virtual token
    attends to, as the next layer's keys and values are replaced again.
    """
    return y if rows.virtual is None else rows.virtual.write(y, prefix)


class PrefixTuning(Method[PrefixTuningConfig]):
    """``prefix (length, width_out)`` per site; optionally trained through a small network."""

    def sites(self, anatomy: Anatomy) -> tuple[Site, ...]:
        """The layers that write keys or values."""
        return prefix_sites(anatomy)

    def start(self, site: Site, generator: torch.Generator) -> Weights:
        """Zero, and for the projection a zero output layer: ``prefix + up tanh(down e)``."""
        weights = {"prefix": torch.zeros(self.config.length, site.width_out)}
        if (width := self.config.projection) is not None:
            weights["e"] = gaussian(generator, self.config.length, width, std=1.0)
            weights["down"] = gaussian(generator, width, width, std=width**-0.5)
            weights["up"] = torch.zeros(site.width_out, width)
        return weights

    def initial(self, base: Base, text: str | None, seed: int) -> Weights:
        """Zero, or the keys and values that the base writes for a text."""
        weights = super().initial(base, text, seed)
        if self.config.start == "text":
            weights |= prefix_from_text(base, self.config.text or text, self.config.length)
        return weights

    def edit(
        self, site: Site, weights: Mapping[str, Tensor], x: Tensor, y: Tensor, rows: Rows
    ) -> Tensor:
        """Write the prefix at the virtual positions."""
        return write_prefix(_projected(weights), y, rows)

    def bake(self, anatomy: Anatomy, weights: Weights) -> Weights:
        """Run the projection once; only its result is saved."""
        baked: Weights = {}
        for site in self.sites(anatomy):
            parts = {
                part: weights[name]
                for part in ("prefix", "e", "down", "up")
                if (name := f"{site.name}.{part}") in weights
            }
            baked[f"{site.name}.prefix"] = _projected(parts)
        return baked


def _projected(weights: Mapping[str, Tensor]) -> Tensor:
    if "up" not in weights:
        return weights["prefix"]
    h = (weights["e"] @ weights["down"].t()).tanh()
    return torch.addmm(weights["prefix"], h, weights["up"].t())
