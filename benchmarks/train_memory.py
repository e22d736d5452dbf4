"""Peak memory of training: LoRA and prompt-scope methods against full tuning, one base, one batch.

Random float32 weights: 8 layers in the shape of Qwen2.5-0.5B, 32,000 tokens; two steps of 4 rows of
128 tokens. Each method is a process of its own; what the libraries take before the base is loaded
is subtracted, the base itself is not.

    python benchmarks/train_memory.py [--json]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from pretune.adapters.injection import Injection
from pretune.adapters.tunable import tuning
from pretune.bases.anatomy import dissect
from pretune.bases.fakes import tiny_base, tiny_model
from pretune.core.records import TokenExample
from pretune.core.segments import Role, TokenSegment
from pretune.spec.methods import METHODS
from pretune.spec.training import TrainSpec
from pretune.training.loop import train
from pretune.training.memory import PeakMemory

SHAPE = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 8,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "vocab_size": 32_000,
    "tie_word_embeddings": True,
    "max_position_embeddings": 1024,
}
RUNS = (("full", "all"), ("lora", "all"), ("lora", "prompt"), ("prefix_tuning", "prompt"))
ROWS, PROMPT, TARGET, STEPS = 4, 112, 16, 2


def measure(method: str, scope: str) -> int:
    """Bytes at the highest point, above what was there before the base."""
    memory = PeakMemory(torch.device("cpu"))
    before = memory.read()
    model = tiny_model("qwen2", **SHAPE)
    base = replace(tiny_base(), model=model, anatomy=dissect(model))
    config = METHODS[method]()
    rows = [
        TokenExample(
            f"made:{row}",
            (
                TokenSegment(Role.USER, tuple(range(row, row + PROMPT))),
                TokenSegment(Role.TARGET, tuple(range(row, row + TARGET))),
            ),
        )
        for row in range(ROWS * STEPS)
    ]
    spec = TrainSpec(epochs=1, batch_size=ROWS)
    with (
        tempfile.TemporaryDirectory() as folder,
        tuning(Injection(base), config, scope) as tunable,  # type: ignore[arg-type]
    ):
        memory = PeakMemory(torch.device("cpu"))
        train(tunable, rows, spec, Path(folder))
        return memory.read() - before


def main() -> None:
    """Measure every run in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs=2, metavar=("METHOD", "SCOPE"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.only:
        print(measure(*args.only))
        return
    found = {}
    for method, scope in RUNS:
        command = [sys.executable, __file__, "--only", method, scope]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found[f"{method}, {scope}"] = int(done.stdout.split()[-1])
    full = found["full, all"]
    if args.json:
        print(json.dumps(found))
        return
    print("| method | peak GB | against full |\n| --- | --- | --- |")
    for name, peak in found.items():
        print(f"| {name} | {peak / 1e9:.2f} | {peak / full - 1:+.0%} |")


if __name__ == "__main__":
    main()
