"""Is each method's default learning rate a good one? Its neighbours, on few rows and on many.

Every method at a quarter of its rate to twice, on two of the demo's tasks and on SST-2, one
seed; all else as the task files have it. What is finished is kept: stop and start the study at
will. It runs on a GPU where torch finds one. Runs are processes; ``--jobs`` of them at a time.

    python studies/rates.py --data ../shared/data --out runs/rates --jobs 1
    python studies/rates.py --table runs/rates
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import yaml
from cells import ends, keep, kept, trained

from pretune.api import Workbench
from pretune.cli.demo import TASKS
from pretune.cli.output import quiet_libraries
from pretune.data.dataset import prepare
from pretune.spec.methods import VETTED_WIDTH
from pretune.spec.task import TaskSpec, parse_task

SETS = ("news-sentiment", "bank-intent", "sst2")
METHODS = ("lora", "dora", "direft", "bottleneck", "mam", "prefix_tuning", "prompt_tuning", "full")
FACTORS = (0.25, 0.5, 1.0, 2.0)


def task_of(data: Path, name: str, method: str, factor: float) -> TaskSpec:
    """The task with ``factor`` times the method's own rate."""
    if name == "sst2":
        folder = (data / name).resolve()
        plain = {
            "data": {split: f"{split}.jsonl" for split in ("train", "validation", "test")},
            "labels": json.loads((folder / "task.json").read_text("utf-8"))["labels"],
            "template": {
                "system": "Is the review positive or negative?",
                "user": "{text}",
                "target": "{label}",
            },
            "metrics": "macro_f1",
            "train": {"precision": "auto", "evaluation_rows": 250},
        }
    else:
        folder = TASKS
        plain = yaml.safe_load((TASKS / f"{name}.yaml").read_text("utf-8"))
    task = parse_task({"name": name, **plain, "method": method}, folder=folder)
    rate = factor * task.method.rate_at(VETTED_WIDTH)
    train = task.train.model_copy(update={"learning_rate": rate})
    return task.model_copy(update={"train": train})


def run(data: Path, name: str, method: str, factor: float, home: Path) -> None:
    """Train once and measure."""
    quiet_libraries()
    task = task_of(data, name, method, factor)
    workbench = Workbench.open(task.base)
    assert workbench.base.anatomy.hidden == VETTED_WIDTH
    prepared = prepare(task, workbench.base.renderer)
    done = trained(workbench, task, home / "run", prepared)
    measured = workbench.evaluate(task, prepared.test, done.adapter).metrics["macro_f1"]
    record = {
        "base": workbench.base.digest,
        "rate": task.train.learning_rate,
        "macro_f1": ends(measured),
        "validation": done.record()["validation"]["macro_f1"],
        "seconds": done.result.seconds,
    }
    keep(home, record)


def _home(out: Path, name: str, method: str, factor: float) -> Path:
    return out / name / method / f"x{factor:g}"


def table(out: Path) -> Iterator[str]:
    """The results in ``out`` as Markdown: macro F1 on test rows."""
    for name in SETS:
        yield f"| {name} | rate | {' | '.join(f'x {factor:g}' for factor in FACTORS)} |"
        yield f"| --- | ---: |{' ---: |' * len(FACTORS)}"
        for method in METHODS:
            cells, rate = [], ""
            for factor in FACTORS:
                record = kept(_home(out, name, method, factor))
                cells.append(f"{record['macro_f1'][0]:.3f}" if record else "")
                if record:
                    rate = f"{record['rate'] / factor:g}"
            yield f"| {method} | {rate} | {' | '.join(cells)} |"
        yield ""


def main() -> None:
    """Run what is missing, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with sst2/")
    parser.add_argument("--out", type=Path, default=Path("runs/rates"))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", nargs=3, metavar=("SET", "METHOD", "FACTOR"), help="in-process")
    parser.add_argument("--table", type=Path, help="print the results of this folder")
    options = parser.parse_args()
    if options.table:
        print("\n".join(table(options.table)))
        return
    if options.only:
        name, method, factor = options.only
        home = _home(options.out, name, method, float(factor))
        run(options.data, name, method, float(factor), home)
        return

    def one(part: tuple[str, str, float]) -> None:
        if kept(_home(options.out, *part)) is None:
            command = [sys.executable, __file__, "--data", str(options.data)]
            command += ["--out", str(options.out), "--only", *map(str, part)]
            code = subprocess.run(command, check=False).returncode
            print(*part, "done" if code == 0 else f"failed: exit code {code}", flush=True)

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(one, product(SETS, METHODS, FACTORS)))


if __name__ == "__main__":
    main()
