"""A work that is over in a second."""

import pytest

from pretune.bench.stand import Stand
from pretune.bench.work import QWEN_HALF_BILLION, Traffic, Work

TINY = Work(
    "tiny",
    QWEN_HALF_BILLION
    | {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": 600,
        "max_position_embeddings": 512,
    },
    requests=4,
    prompt=12,
    new=5,
    repeats=2,
    steps=3,
    registered=(1, 4, 50),
    scopes=(1, 6),
    peer_tasks=(1, 4),
    document=100,
    question=5,
    readers=3,
    traffic=Traffic(requests=12, tasks=50, new=3, slots=2),
)


@pytest.fixture(scope="session")
def stand() -> Stand:
    return Stand(TINY)
