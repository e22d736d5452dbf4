"""Prompt tuning: trained input embeddings as virtual tokens (Lester et al. 2021, 2104.08691)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pretune.adapters.method import Method, Weights, gaussian
from pretune.adapters.rows import Rows
from pretune.bases import Base
from pretune.bases.anatomy import Anatomy, Site
from pretune.core.segments import Role, Segment
from pretune.spec.methods import PromptTuningConfig


class PromptTuning(Method[PromptTuningConfig]):
    """``soft (length, hidden)`` stands where the virtual tokens' embeddings would."""

    def sites(self, anatomy: Anatomy) -> tuple[Site, ...]:
        """The input embedding."""
        return (anatomy.embedding,)

    def start(self, site: Site, generator: torch.Generator) -> Weights:
        """Noise of the size of a real embedding."""
        std = float(site.module.weight.float().std())  # type: ignore[operator]
        return {"soft": gaussian(generator, self.config.length, site.width_out, std=std)}

    def blank(self, site: Site) -> Weights:
        """Without a look at the base's embeddings."""
        return {"soft": torch.empty(self.config.length, site.width_out, device="meta")}

    def initial(self, base: Base, text: str | None, seed: int) -> Weights:
        """Embeddings of a text's tokens (repeated to length), of sampled vocabulary, or noise."""
        if self.config.start == "random":
            return super().initial(base, text, seed)
        length = self.config.length
        if self.config.start == "text":
            ids = text_ids(base, self.config.text or text, length)
        else:
            generator = torch.Generator().manual_seed(seed)
            ids = torch.randint(base.anatomy.vocabulary, (length,), generator=generator)
        with torch.no_grad():
            soft: Tensor = base.anatomy.embedding.module(ids.to(base.device))
        return {"embedding.soft": soft.float().cpu().clone()}

    def edit(
        self, site: Site, weights: Mapping[str, Tensor], x: Tensor, y: Tensor, rows: Rows
    ) -> Tensor:
        """Write the soft tokens at the virtual positions."""
        return y if rows.virtual is None else rows.virtual.write(y, weights["soft"])


def text_ids(base: Base, text: str | None, length: int) -> Tensor:
    """``length`` token ids ``(length,)`` of ``text``, repeated or cut; no text: a plain one."""
    segment = Segment(Role.SYSTEM, text or "Read the text and answer.")
    ids = base.renderer.encode([segment])[0].ids
    return torch.tensor((ids * (length // len(ids) + 1))[:length])
