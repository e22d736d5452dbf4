"""Do varied rows help? Operators on real sets at 100, 500 and 2,000 seed rows, with intervals.

Everything is `pretune data probe`; this file says on which sets. What is finished is kept: stop
and start the study at will.

    python studies/augmentation.py --data ../shared/data --out runs/probe
    python studies/augmentation.py --table runs/probe
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pretune.api import probe_augmentation
from pretune.cli.output import errors, quiet_libraries
from pretune.cli.progress import Probing
from pretune.core.files import write_atomic
from pretune.spec.probing import ProbeSpec, parse_probe
from pretune.spec.task import TaskSpec, parse_task

ROWS = (100, 500, 2000)


class Set(NamedTuple):
    """A labelled set: what is asked, and how long a text may be, in characters, to be short."""

    asks: str
    longest: int


SETS = {
    "finfe_zh": Set("这条帖子的情绪是什么？", 60),
    "sst2": Set("Is the review positive or negative?", 100),
    "financial_phrasebank": Set("Is the news good for the company?", 160),
    "chnsenticorp_zh": Set("这条评价是好评还是差评？", 100),
}


def task_of(data: Path, name: str, out: Path) -> TaskSpec:
    """The task on the short rows of a set; they are written to ``out``."""
    for split in ("train", "validation", "test"):
        rows = _short(data / name / f"{split}.jsonl", SETS[name].longest)
        write_atomic(out / "data" / f"{split}.jsonl", "".join(rows))
    return parse_task(
        {
            "name": name,
            "data": {split: f"{split}.jsonl" for split in ("train", "validation", "test")},
            "template": {"system": SETS[name].asks, "user": "{text}", "target": "{label}"},
            "labels": json.loads((data / name / "task.json").read_text("utf-8"))["labels"],
            "train": {"precision": "auto", "batch_size": 16},
        },
        folder=out / "data",
    )


def _short(path: Path, longest: int) -> Iterator[str]:
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            if len(json.loads(line)["text"]) <= longest:
                yield line


def spec_of(options: argparse.Namespace, rows: tuple[int, ...]) -> ProbeSpec:
    """What is probed; operators as the probe has them: each alone, and all at once."""
    value: dict[str, Any] = {"rows": rows, "steps": options.steps, "held_rows": options.held_rows}
    return parse_probe(value | {"seeds": options.seeds})


def table(out: Path) -> str:
    """The results in ``out`` as Markdown, a table for each set that has a report."""
    parts = [
        path.read_text("utf-8").replace("# ", "### ", 1)
        for path in (out / name / "report.md" for name in SETS)
        if path.exists()
    ]
    return "\n".join(parts)


def main() -> None:
    """Run what is missing, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with a folder for each set")
    parser.add_argument("--out", type=Path, default=Path("runs/probe"))
    parser.add_argument("--only", action="append", choices=SETS, help="this set; repeatable")
    parser.add_argument("--rows", type=int, action="append", help="seed rows; repeatable")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--held-rows", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--table", type=Path, help="print the results of this folder")
    options = parser.parse_args()
    if options.table:
        print(table(options.table))
        return
    quiet_libraries()
    for rows in options.rows or ROWS:
        for name in options.only or SETS:
            errors.rule(f"{name}, {rows} seed rows", align="left")
            task = task_of(options.data, name, options.out / name)
            with Probing() as progress:
                spec = spec_of(options, tuple(n for n in ROWS if n <= rows))
                probe_augmentation(task, options.out / name, spec, sinks=[progress])


if __name__ == "__main__":
    main()
