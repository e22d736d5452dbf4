"""What does privacy cost, and does it cost less with more rows? SST-2, with and without.

LoRA r=8 on the prompt learns 500, 2,000 and 5,000 reviews, as they are and with differential
privacy (DP-SGD, arXiv 1607.00133) at two budgets: accuracy on the test rows with 95 % bootstrap
intervals, one seed. What is finished is kept: stop and start the study at will. It runs on a GPU
where torch finds one. Processes may share the work (``--rows``).

    python studies/private_rows.py --data ../shared/data --out runs/private
    python studies/private_rows.py --table runs/private
"""

import argparse
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from cells import ends, keep, kept, slug, trained

from pretune.api import Workbench
from pretune.cli.output import quiet_libraries
from pretune.core.files import write_atomic
from pretune.data.dataset import prepare
from pretune.spec.task import BaseSpec, TaskSpec, parse_task

ROWS = (500, 2000, 5000)
EPOCHS, BATCH = 8, 128
"""Large batches: the noise is added once a step."""

ARMS: dict[str, dict[str, Any]] = {
    "as they are": {"batch_size": 32, "epochs": 3},
    "as they are, the private recipe": {},
    "epsilon 8": {"privacy": {"epsilon": 8}},
    "epsilon 2": {"privacy": {"epsilon": 2}},
}
"""What each adds to the ``train`` section; the first is how one trains without privacy."""


def task_of(data: Path, rows: int, arm: str, folder: Path) -> TaskSpec:
    """The task on the first ``rows`` reviews; they are written to ``folder``."""
    source = (data / "sst2").resolve()
    with (source / "train.jsonl").open(encoding="utf-8") as file:
        write_atomic(folder / "rows.jsonl", "".join(islice(file, rows)))
    train = {"precision": "auto", "evaluation_rows": 250, "epochs": EPOCHS, "batch_size": BATCH}
    return parse_task(
        {
            "name": "sst2",
            "data": {
                "train": "rows.jsonl",
                "validation": str(source / "validation.jsonl"),
                "test": str(source / "test.jsonl"),
            },
            "template": {
                "system": "Is the review positive or negative?",
                "user": "{text}",
                "target": "{label}",
            },
            "labels": json.loads((source / "task.json").read_text("utf-8"))["labels"],
            "metrics": ["accuracy"],
            "train": train | ARMS[arm],
        },
        folder=folder,
    )


def run(data: Path, out: Path, rows: int, arm: str, workbench: Workbench) -> None:
    """Train and measure one arm on so many rows."""
    home = _home(out, rows, arm)
    task = task_of(data, rows, arm, home / "data")
    prepared = prepare(task, workbench.base.renderer)
    done = trained(workbench, task, home / "run", prepared)
    measured = workbench.evaluate(task, prepared.test, done.adapter).metrics["accuracy"]
    record = {
        "base": workbench.base.digest,
        "accuracy": ends(measured),
        "privacy": done.record().get("privacy"),
        "seconds": done.result.seconds,
    }
    keep(home, record)


def _home(out: Path, rows: int, arm: str) -> Path:
    return out / f"rows-{rows}" / slug(arm)


def table(out: Path) -> Iterator[str]:
    """The results in ``out`` as Markdown."""
    yield f"| | {' | '.join(f'{rows:,} rows' for rows in ROWS)} |"
    yield f"| --- |{' --- |' * len(ROWS)}"
    for arm in ARMS:
        cells = []
        for rows in ROWS:
            if (record := kept(_home(out, rows, arm))) is None:
                cells.append("")
                continue
            value, low, high = record["accuracy"]
            cells.append(f"{value:.3f} ({low:.3f} to {high:.3f})")
        yield f"| {arm} | {' | '.join(cells)} |"


def main() -> None:
    """Run what is missing, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with sst2/")
    parser.add_argument("--out", type=Path, default=Path("runs/private"))
    parser.add_argument("--rows", type=int, action="append", choices=ROWS, help="repeatable")
    parser.add_argument("--table", type=Path, help="print the results of this folder")
    options = parser.parse_args()
    if options.table:
        print("\n".join(table(options.table)))
        return
    quiet_libraries()
    workbench = Workbench.open(BaseSpec())
    for rows in options.rows or ROWS:
        for arm in ARMS:
            if kept(_home(options.out, rows, arm)) is None:
                print(f"{rows} rows, {arm}", flush=True)
                run(options.data, options.out, rows, arm, workbench)


if __name__ == "__main__":
    main()
