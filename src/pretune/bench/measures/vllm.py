"""Throughput against vLLM on the CPU: its multi-LoRA, and its plain base."""

import ctypes.util
import os
from pathlib import Path

from pretune.bench.figures import Figure
from pretune.bench.measures.against import compare, speedup
from pretune.bench.measures.measure import Tell
from pretune.bench.peers.process import SCRIPTS, exported, started
from pretune.bench.stand import TOKENS_PER_STEP, Stand

WITH_LORA, PLAIN = "speedup_vs_vllm_lora_32", "base_vs_vllm"


def measure(stand: Stand, tell: Tell, python: Path | None) -> list[Figure]:
    """vLLM run by ``python``, the interpreter of its own environment."""
    if stand.base.device.type != "cpu":
        reason = "this peer runs on the CPU; measure with --device cpu"
        return [Figure.absent(WITH_LORA, reason), Figure.absent(PLAIN, reason)]
    if python is None:
        reason = "no interpreter with vLLM was named; give --vllm-python PATH (docs/benchmarks.md)"
        return [Figure.absent(WITH_LORA, reason), Figure.absent(PLAIN, reason)]
    work = stand.work
    command = [str(python), str(SCRIPTS / "vllm_cpu.py")]
    environment = _environment(python)
    with exported(stand, work.peer_tasks[-1]) as folders:
        settings = {
            **folders,
            "rank": work.rank,
            "requests": work.requests,
            "tokens": work.prompt + work.new,
            "step_tokens": TOKENS_PER_STEP,
        }
        with started(command, {**settings, "adapters": []}, environment) as peer:
            plain = compare(stand, lambda share: tell(0.25 * share), peer, [0])
        with started(command, settings, environment) as peer:
            tuned = compare(stand, lambda share: tell(0.25 + 0.75 * share), peer, work.peer_tasks)
    return [
        speedup(stand, WITH_LORA, tuned, "vLLM"),
        speedup(stand, PLAIN, plain, "vLLM"),
    ]


def _environment(python: Path) -> dict[str, str]:
    """With tcmalloc and Intel's OpenMP where they are, as vLLM's manual wants on a CPU, and every
    core that this process has."""
    # Not resolved: the link's own folder is the environment.
    openmp = python.absolute().parent.parent / "lib" / "libiomp5.so"
    wanted = [str(openmp)] if openmp.is_file() else []
    if tcmalloc := ctypes.util.find_library("tcmalloc_minimal"):
        wanted.insert(0, tcmalloc)
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return environment | {
        "LD_PRELOAD": ":".join(wanted),
        "VLLM_CPU_OMP_THREADS_BIND": cores,
    }
