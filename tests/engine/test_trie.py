"""Tries of options."""

import random

import pytest
import torch
from torch.testing import assert_close

from pretune.core.errors import SpecError
from pretune.engine.trie import OptionTrie


def test_a_trie_by_hand():
    trie = OptionTrie.of([(5, 6, 2), (5, 7, 2), (8,)])
    assert trie.ids.tolist() == [5, 6, 7]
    assert trie.depth.tolist() == [1, 2, 2]
    assert trie.ancestors.int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 0, 1]]
    edges = list(zip(trie.edge_from.tolist(), trie.edge_token.tolist(), strict=True))
    assert edges == [(0, 5), (1, 6), (2, 2), (1, 7), (3, 2), (0, 8)]
    assert trie.paths.int().tolist() == [
        [1, 1, 1, 0, 0, 0],
        [1, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 1],
    ]


def test_options_of_one_token_need_no_node():
    trie = OptionTrie.of([(5,), (7,)])
    assert len(trie) == 0
    logits = torch.randn(1, 9)
    assert_close(trie.scores(logits), logits.log_softmax(-1)[0, [5, 7]])


@pytest.mark.parametrize("options", [[], [()], [(5,), ()]])
def test_nothing_to_score_is_refused(options):
    with pytest.raises(SpecError, match="at least one"):
        OptionTrie.of(options)


def test_a_trie_is_written_at_once(monkeypatch):
    """Every request of a task with labels makes one, in the engine's own thread."""
    writes: list[object] = []
    write = torch.Tensor.__setitem__
    monkeypatch.setattr(
        torch.Tensor, "__setitem__", lambda *given: writes.append(1) or write(*given)
    )
    generator = random.Random(0)
    trie = OptionTrie.of([[generator.randrange(100) for _ in range(5)] for _ in range(77)])
    assert len(trie) > 200
    assert len(writes) == 2
