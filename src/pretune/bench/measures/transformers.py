"""Throughput of the plain base, against transformers' continuous batching."""

import os
import sys

import torch

from pretune.bench.figures import Figure
from pretune.bench.measures.against import compare, speedup
from pretune.bench.measures.measure import Tell
from pretune.bench.peers.process import SCRIPTS, exported, started
from pretune.bench.stand import TOKENS_PER_STEP, Stand

FIGURE = "base_vs_transformers"


def measure(stand: Stand, tell: Tell) -> list[Figure]:
    """``generate_batch`` in a process of its own, with this interpreter; it knows no adapters."""
    work = stand.work
    with exported(stand, 0) as folders:
        settings = {
            **folders,
            "threads": torch.get_num_threads(),
            "device": str(stand.base.device),
            "requests": work.requests,
            "tokens": work.prompt + work.new,
            "step_tokens": TOKENS_PER_STEP,
        }
        command = [sys.executable, str(SCRIPTS / "transformers_batches.py")]
        with started(command, settings, {**os.environ, "HF_HUB_OFFLINE": "1"}) as peer:
            rounds = compare(stand, tell, peer, [0])
    return [speedup(stand, FIGURE, rounds, "transformers")]
