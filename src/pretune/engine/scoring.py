"""All options after every prompt in one pass, for the scorer and for training on label
distributions: what is trained is what is served."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pretune.adapters.injection import Injection, Routing
from pretune.engine.masks import attention_masks
from pretune.engine.prompts import Prompts
from pretune.engine.trie import OptionTrie

LOGIT_ROWS = 1024
"""Most rows whose logits exist at a time; more would leave the processor's cache."""


@dataclass(frozen=True, eq=False)
class Followed:
    """Prompts of width W, each followed by the M nodes of a trie: ``ids`` and ``positions``
    ``(B, W + M)``; ``allowed (B, W + M, W + M)`` bool: what each token sees; and the routing."""

    ids: Tensor
    positions: Tensor
    allowed: Tensor
    routing: Routing


def follow(prompts: Prompts, trie: OptionTrie) -> Followed:
    """Every prompt with all nodes after it, of which each sees the prompt and its own ancestors."""
    (batch, width), nodes = prompts.ids.shape, len(trie)
    device = prompts.ids.device
    ids = torch.cat([prompts.ids, trie.ids.to(device).expand(batch, nodes)], 1)
    depth = trie.depth.to(device)
    positions = torch.cat([prompts.positions, prompts.positions[:, -1:] + depth], 1)
    allowed = torch.zeros(batch, width + nodes, width + nodes, dtype=torch.bool)
    allowed[:, :width, :width] = torch.ones(width, width, dtype=torch.bool).tril()
    allowed[:, width:, :width] = True
    allowed[:, :, :width] &= prompts.real.cpu()[:, None, :]
    allowed[:, width:, width:] = trie.ancestors
    allowed |= torch.eye(width + nodes, dtype=torch.bool)
    slots = prompts.decode_slots[:, None].expand(batch, nodes)
    routing = Routing(
        torch.cat([prompts.routing.slots, slots], 1),
        torch.cat([prompts.routing.virtual, torch.full((batch, nodes), -1)], 1),
    )
    return Followed(ids, positions, allowed.to(device), routing)


def option_scores(
    injection: Injection, ids: Tensor, positions: Tensor, allowed: Tensor, trie: OptionTrie
) -> Tensor:
    """Log-probabilities ``(B, options)`` in float32 of what :func:`follow` laid out, under the
    routing in force; with gradients where they are on."""
    base = injection.base
    (batch, total), nodes = ids.shape, len(trie)
    hidden = base.backbone(
        ids,
        attention_mask=attention_masks(base, allowed, positions),
        position_ids=positions,
        use_cache=False,
    ).last_hidden_state
    flat = hidden.reshape(-1, hidden.shape[-1])
    # The last prompt token predicts the first token of each option, a node the next one.
    index = torch.arange(batch)[:, None] * total + torch.arange(total - nodes - 1, total)
    scores = []
    for some in index.split(max(1, LOGIT_ROWS // (nodes + 1))):
        rows = some.flatten()
        with injection.narrowed(rows):
            logits = base.head(flat[rows.to(base.device)])
        scores.append(trie.scores(logits.view(*some.shape, -1)))
    return torch.cat(scores)
