"""The options of a label task as a trie, so that shared beginnings are computed once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pretune.core.errors import SpecError


@dataclass(frozen=True, eq=False)
class OptionTrie:
    """Nodes are the tokens to run (all but each option's last), edges the tokens to score.

    ``ids (M,)`` and ``depth (M,)`` (1: right after the prompt) of nodes; ``ancestors (M, M)`` bool,
    itself included. ``edge_from (E,)``: 0 is the prompt, ``i + 1`` node ``i``; ``edge_token (E,)``.
    ``paths (options, E)`` float: 1 where the edge is on the option's path.
    """

    ids: Tensor
    depth: Tensor
    ancestors: Tensor
    edge_from: Tensor
    edge_token: Tensor
    paths: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def scores(self, logits: Tensor) -> Tensor:
        """Log-probability of every option, ``(..., options)``.

        ``logits (..., 1 + M, vocabulary)`` follow the prompt's last token and each node.
        """
        wide = logits.float()
        start, token = self.edge_from.to(wide.device), self.edge_token.to(wide.device)
        # Only the edges' logits are wanted: the softmax of all others is never written.
        edges = wide[..., start, token] - wide.logsumexp(-1)[..., start]
        return edges @ self.paths.to(wide.device).t()

    @classmethod
    def of(cls, options: Sequence[Sequence[int]]) -> "OptionTrie":
        """The trie of ``options``, each a run of token ids.

        Raises:
            SpecError: no options, or an empty one.
        """
        if not options or not all(options):
            raise SpecError("scoring needs at least one option, and each needs at least one token")
        nodes: dict[tuple[int, ...], int] = {}
        edges: dict[tuple[int, ...], int] = {}
        for option in map(tuple, options):
            for end in range(1, len(option) + 1):
                edges.setdefault(option[:end], len(edges))
                if end < len(option):
                    nodes.setdefault(option[:end], len(nodes))
        ancestors = torch.zeros(len(nodes), len(nodes), dtype=torch.bool)
        ancestors[_places(nodes, nodes)] = True
        paths = torch.zeros(len(options), len(edges))
        paths[_places(map(tuple, options), edges)] = 1.0
        return cls(
            ids=torch.tensor([prefix[-1] for prefix in nodes], dtype=torch.long),
            depth=torch.tensor([len(prefix) for prefix in nodes], dtype=torch.long),
            ancestors=ancestors,
            edge_from=torch.tensor([nodes[p[:-1]] + 1 if len(p) > 1 else 0 for p in edges]),
            edge_token=torch.tensor([prefix[-1] for prefix in edges]),
            paths=paths,
        )


def _places(
    rows: Iterable[tuple[int, ...]], columns: Mapping[tuple[int, ...], int]
) -> tuple[Tensor, Tensor]:
    """Row and column of every beginning of every row; all at once, as a tensor that is written
    number by number takes most of the time of a request."""
    found = [
        (row, columns[one[:end]]) for row, one in enumerate(rows) for end in range(1, len(one) + 1)
    ]
    places = torch.tensor(found, dtype=torch.long).view(-1, 2)
    return places[:, 0], places[:, 1]
