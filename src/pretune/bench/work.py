"""The work that is measured: a base's shape, requests, and how often all of it is repeated."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Traffic(NamedTuple):
    """Open-loop traffic: ``requests`` that arrive by chance and ask ``tasks`` by Zipf's law, each
    for ``new`` tokens, at ``load`` of what the engine can do; ``slots`` for the cold side."""

    requests: int = 160
    tasks: int = 1000
    new: int = 16
    load: float = 0.5
    slots: int = 8


@dataclass(frozen=True)
class Work:
    """What is measured.

    ``requests`` at a time, each with its own ``prompt`` tokens and ``new`` to write, greedy and
    without an end; LoRA of ``rank`` on all linear layers. ``steps`` of decode are measured, and the
    throughput is reckoned for ``new``. A document of ``document`` tokens is asked one ``question``
    by each of ``readers`` tasks.
    """

    name: str
    shape: Mapping[str, Any]
    requests: int = 32
    prompt: int = 128
    new: int = 128
    rank: int = 8
    repeats: int = 3
    steps: int = 12
    registered: tuple[int, ...] = (1, 8, 32, 256, 1000)
    scopes: tuple[int, ...] = (1, 8, 32, 128)
    peer_tasks: tuple[int, ...] = (1, 8, 32)
    document: int = 2000
    question: int = 32
    readers: int = 10
    traffic: Traffic = field(default_factory=Traffic)


QWEN_HALF_BILLION: dict[str, Any] = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151_936,
    "tie_word_embeddings": True,
    "max_position_embeddings": 4096,
}
"""The shape of Qwen2.5-0.5B."""

FULL = Work("full", QWEN_HALF_BILLION)

QUICK = Work(
    "quick",
    QWEN_HALF_BILLION
    | {
        "hidden_size": 512,
        "intermediate_size": 2048,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "vocab_size": 32_000,
    },
    prompt=64,
    new=24,
    repeats=2,
    steps=6,
    scopes=(1, 8, 32),
    document=1000,
    traffic=Traffic(requests=60, new=8),
)
"""A smaller base and fewer tokens: two minutes on two cores, to see that all is well. Its ratios
are not those of :data:`FULL`, whose products are larger beside everything else."""
