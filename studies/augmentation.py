"""Do varied rows help? Operators on real sets at 100, 500 and 2,000 seed rows, with intervals.

Everything is `pretune data probe`; this file says on which sets. What is finished is kept: stop
and start the study at will. It runs on a GPU where torch finds one. Processes may share the work,
each with ``--only`` and ``--rows`` of its own.

    python studies/augmentation.py --data ../shared/data --out runs/probe
    python studies/augmentation.py --table runs/probe
    python studies/augmentation.py --data ../shared/data --varied
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from pretune.api import probe_augmentation
from pretune.bases import load_renderer
from pretune.cli.output import errors, quiet_libraries
from pretune.cli.progress import Probing
from pretune.core.files import write_atomic
from pretune.data.augment.trials import TrialRows
from pretune.data.dataset import prepare
from pretune.spec.probing import ALL_AT_ONCE, parse_probe
from pretune.spec.task import TaskSpec, parse_task

STEPS = {100: 60, 500: 100, 2000: 250}
"""Optimiser steps of 16 rows by seed rows: 9.6, 3.2 and 2 passes over the seed rows alone."""

LONGEST = {"finfe_zh": 60, "sst2": 100, "financial_phrasebank": 160, "chnsenticorp_zh": 100}
"""The sets, and how long a text may be, in characters: short ones cost little on a CPU."""


def task_of(data: Path, name: str, out: Path) -> TaskSpec:
    """The task on the short rows of a set; they are written to ``out``."""
    for split in ("train", "validation", "test"):
        rows = _short(data / name / f"{split}.jsonl", LONGEST[name])
        write_atomic(out / "data" / f"{split}.jsonl", "".join(rows))
    return parse_task(
        {
            "name": name,
            "data": {split: f"{split}.jsonl" for split in ("train", "validation", "test")},
            "template": {"user": "{text}", "target": "{label}"},
            "labels": json.loads((data / name / "task.json").read_text("utf-8"))["labels"],
            "metrics": ["macro_f1", "accuracy"],
            "train": {"precision": "auto", "batch_size": 16},
        },
        folder=out / "data",
    )


def _short(path: Path, longest: int) -> Iterator[str]:
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            if len(json.loads(line)["text"]) <= longest:
                yield line


def table(out: Path) -> str:
    """The results in ``out`` as Markdown: macro F1 of every set and number of rows that is done."""
    lines = [
        "| set | seed rows | operators | variants | without | with | difference | 95 % interval | "
        "p | verdict |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for name in LONGEST:
        for path in (out / name / f"rows-{rows}" / "report.json" for rows in STEPS):
            for one in json.loads(path.read_text("utf-8"))["effects"] if path.exists() else ():
                main, delta = one["differences"][0], one["differences"][0]["delta"]
                operators = one["operators"].replace(ALL_AT_ONCE, "all at once")
                cells = [name, f"{one['rows']:,}", operators, f"{sum(one['variants']):,}"]
                figures = [f"{main['first']:.3f}", f"{main['second']:.3f}"]
                figures += [
                    f"{delta['value']:+.3f}",
                    f"{delta['low']:+.3f} to {delta['high']:+.3f}",
                ]
                figures += [f"{main['p']:.3f}"]
                cells += figures if any(one["variants"]) else [""] * len(figures)
                lines.append(f"| {' | '.join([*cells, one['impact']])} |")
    return "\n".join(lines)


def varied(data: Path) -> Iterator[str]:
    """How many rows each operator varies, as Markdown; nothing is trained."""
    yield f"| set | operators | {' | '.join(f'{rows:,} rows' for rows in STEPS)} |"
    yield f"| --- | --- |{' ---: |' * len(STEPS)}"
    spec = parse_probe({})
    for name in LONGEST:
        with TemporaryDirectory() as folder:
            task = task_of(data, name, Path(folder))
            trials = TrialRows(task, prepare(task, load_renderer()), Path(folder) / "rows", spec)
            for operators in spec.operators:
                files = [trials.variants(rows, 0, operators) for rows in STEPS]
                counts = [len(file.read_bytes().splitlines()) if file else 0 for file in files]
                yield f"| {name} | {operators} | {' | '.join(f'{n:,}' for n in counts)} |"


def main() -> None:
    """Run what is missing, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with a folder for each set")
    parser.add_argument("--out", type=Path, default=Path("runs/probe"))
    parser.add_argument("--only", action="append", choices=LONGEST, help="this set; repeatable")
    parser.add_argument("--rows", type=int, action="append", choices=STEPS, help="repeatable")
    parser.add_argument("--held-rows", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--table", type=Path, help="print the results of this folder")
    parser.add_argument("--varied", action="store_true", help="count varied rows, train nothing")
    options = parser.parse_args()
    if options.varied:
        for line in varied(options.data):
            print(line, flush=True)
        return
    if options.table:
        print(table(options.table))
        return
    quiet_libraries()
    for rows in options.rows or STEPS:
        spec = parse_probe(
            {
                "rows": [rows],
                "steps": STEPS[rows],
                "held_rows": options.held_rows,
                "seeds": options.seeds,
            }
        )
        for name in options.only or LONGEST:
            errors.rule(f"{name}, {rows} seed rows", align="left")
            task = task_of(options.data, name, options.out / name)
            with Probing() as progress:
                probe_augmentation(
                    task, options.out / name / f"rows-{rows}", spec, sinks=[progress]
                )


if __name__ == "__main__":
    main()
