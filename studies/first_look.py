"""A first look at quality: every method on SST-2 and BANKING77, some on E2E, one seed.

Values are with 95 % bootstrap intervals. Each run is a process of its own, so that its peak memory
is its own, and a finished one is kept: stop and start the study at will.

    python studies/first_look.py --data ../shared/data --out runs/first-look
    python studies/first_look.py --table runs/first-look
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cells import keep, kept, slug, trained

from pretune.api import Workbench
from pretune.data.dataset import prepare
from pretune.spec.task import TaskSpec, parse_task
from pretune.training.memory import PeakMemory

CHOICE = {"metrics": ["accuracy", "macro_f1"]}
SETS: dict[str, Mapping[str, Any]] = {
    "sst2": {
        "template": {"system": "Is the review positive or negative?", "user": "{text}"},
        **CHOICE,
    },
    "banking77": {
        "template": {"system": "Name the intent of the customer's message.", "user": "{text}"},
        **CHOICE,
    },
    "e2e_nlg": {
        "template": {"system": "Describe it in a sentence.", "user": "{input}"},
        "metrics": ["bleu", "rouge_l"],
        "generate": {"max_new_tokens": 96},
    },
}

METHODS: dict[str, Mapping[str, Any]] = {
    "base": {},
    "full": {"method": "full"},
    "lora r=8, all tokens": {"method": {"name": "lora", "rank": 8}, "scope": "all"},
    "lora r=8, prompt": {"method": {"name": "lora", "rank": 8}},
    "lora r=32, prompt": {"method": {"name": "lora", "rank": 32, "alpha": 64}},
    "bottleneck r=32, prompt": {"method": "bottleneck"},
    "prefix tuning k=20": {"method": "prefix_tuning"},
    "prompt tuning k=20": {"method": "prompt_tuning"},
    "dora r=8, prompt": {"method": {"name": "dora", "rank": 8}},
    "mam r=32, prompt": {"method": "mam"},
    "direft r=8, prompt": {"method": "direft"},
}

SENTENCES = ("base", "full", "lora r=8, all tokens", "lora r=8, prompt")
"""Methods that write sentences too: those answers take longest."""


def task_of(data: Path, name: str, method: str) -> TaskSpec:
    """The task file of one run, as a value."""
    labels = json.loads((data / name / "task.json").read_text()).get("labels")
    target = "{label}" if labels else "{target}"
    return parse_task(
        {
            "name": name,
            "data": {split: f"{split}.jsonl" for split in ("train", "validation", "test")},
            "labels": labels,
            "train": {"precision": "auto", "evaluation_rows": 250},
            **SETS[name],
            "template": {**SETS[name]["template"], "target": target},
            **METHODS[method],
        },
        folder=data / name,
    )


def run(data: Path, name: str, method: str, out: Path) -> dict[str, Any]:
    """Train and measure one method on one set."""
    task = task_of(data, name, method)
    workbench = Workbench.open(task.base)
    memory = PeakMemory(workbench.base.device)
    rows = prepare(task, workbench.base.renderer)
    adapter, seconds = None, 0.0
    if method != "base":
        started = time.perf_counter()
        adapter = trained(workbench, task, out / "run", rows).adapter
        seconds = time.perf_counter() - started
    peak = memory.read()
    found = workbench.evaluate(task, rows.test, adapter)
    return {
        "task": name,
        "method": method,
        **{
            metric: {"value": one.value, "low": one.low, "high": one.high}
            for metric, one in found.metrics.items()
        },
        "rows": found.rows,
        "trainable_parameters": adapter.parameters if adapter else 0,
        "adapter_bytes": len(adapter.serialized) if adapter else 0,
        "train_s": round(seconds, 1),
        "peak_memory_bytes": peak,
        "base": workbench.base.digest[:12],
    }


def table(out: Path) -> str:
    """The results in ``out`` as Markdown."""
    lines = []
    for name, task in SETS.items():
        first, second = task["metrics"]
        lines += [
            f"### {name}",
            "",
            f"| method | {first} | 95 % interval | {second} | trained weights | adapter KB | "
            "train s | peak MB |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for method in METHODS:
            if (one := kept(_home(out, name, method))) is None:
                continue
            lines.append(
                f"| {method} | {one[first]['value']:.3f} | "
                f"{one[first]['low']:.3f} to {one[first]['high']:.3f} | "
                f"{one[second]['value']:.3f} | {one['trainable_parameters']:,} | "
                f"{one['adapter_bytes'] / 1024:,.0f} | {one['train_s']:.0f} | "
                f"{one['peak_memory_bytes'] / 2**20:,.0f} |"
            )
        lines.append("")
    return "\n".join(lines)


def _home(out: Path, name: str, method: str) -> Path:
    return out / name / slug(method)


def main() -> None:
    """Run what is missing, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with sst2/ and banking77/")
    parser.add_argument("--out", type=Path, default=Path("runs/first-look"))
    parser.add_argument("--only", nargs=2, metavar=("SET", "METHOD"), help="one run, in-process")
    parser.add_argument("--table", type=Path, help="print the results of this folder")
    args = parser.parse_args()
    if args.table:
        print(table(args.table))
        return
    if args.only:
        name, method = args.only
        home = _home(args.out, name, method)
        keep(home, run(args.data, name, method, home))
        return
    for method in METHODS:
        for name in SETS:
            if name == "e2e_nlg" and method not in SENTENCES:
                continue
            if kept(_home(args.out, name, method)) is None:
                print(f"{name}: {method}", flush=True)
                command = [sys.executable, __file__, "--data", str(args.data)]
                command += ["--out", str(args.out), "--only", name, method]
                subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
