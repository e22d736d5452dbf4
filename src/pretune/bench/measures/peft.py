"""Throughput of as many tasks as requests, against PEFT's mixed batch."""

import importlib.util
import os
import sys

import torch

from pretune.bench.figures import Figure
from pretune.bench.measures.against import compare, speedup
from pretune.bench.measures.measure import Tell
from pretune.bench.peers.process import SCRIPTS, exported, started
from pretune.bench.stand import Stand

FIGURE = "speedup_vs_peft_32"


def measure(stand: Stand, tell: Tell) -> list[Figure]:
    """PEFT in a process of its own, with this interpreter."""
    if importlib.util.find_spec("peft") is None:
        return [Figure.absent(FIGURE, "\"peft\" is not installed; pip install 'pretune[peft]'")]
    with exported(stand, stand.work.peer_tasks[-1]) as folders:
        settings = {
            **folders,
            "threads": torch.get_num_threads(),
            "device": str(stand.base.device),
        }
        command = [sys.executable, str(SCRIPTS / "peft_mixed.py")]
        with started(command, settings, os.environ) as peer:
            rounds = compare(stand, tell, peer, stand.work.peer_tasks)
    return [speedup(stand, FIGURE, rounds, "PEFT")]
