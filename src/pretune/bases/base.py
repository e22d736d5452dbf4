"""The base: one loaded model with its tokenizer, its parts and its name by content."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pretune.bases.anatomy import Anatomy
from pretune.bases.chat import ChatRenderer


@dataclass(frozen=True, eq=False)
class Base:
    """A frozen decoder-only model; ``digest`` covers weights and shape, not the file's name."""

    name: str
    digest: str
    precision: str
    model: Any
    renderer: ChatRenderer
    anatomy: Anatomy

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return self.anatomy.embedding.module.weight.device  # type: ignore[return-value]

    @property
    def parameters(self) -> int:
        """Number of weights; a tied weight counts once."""
        return int(self.model.num_parameters())

    def backbone(self, ids: Tensor, **kwargs: Any) -> Any:
        """Run the blocks on ``ids (B, T)``: ``last_hidden_state (B, T, hidden)`` and the cache."""
        return self.model.base_model(input_ids=ids, **kwargs)

    def head(self, hidden: Tensor) -> Tensor:
        """Logits ``(N, vocabulary)`` of ``hidden (N, hidden)``, contiguous and two-dimensional.

        A frozen head on a non-contiguous or three-dimensional input may be copied for every row.
        """
        head: nn.Module = self.model.get_output_embeddings()
        logits: Tensor = head(hidden.contiguous())
        config = self.model.config.get_text_config(decoder=True)
        if (cap := getattr(config, "final_logit_softcapping", None)) is not None:
            logits = torch.tanh(logits / cap) * cap
        return logits
