"""Does a prompt-scope student gain from a teacher? Few labelled rows, more without labels.

The teacher, all weights tuned, has learned all training rows. The student, LoRA r=8 on the prompt,
has a few of them with labels and more without. All students take the same number of steps. Finished
parts are kept: stop and start the study at will. It runs on a GPU where torch finds one. Processes
may share the work, a set each (``--set``).

    python studies/soft_labels.py --data ../shared/data --out runs/soft-labels
    python studies/soft_labels.py --table runs/soft-labels
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from cells import keep, kept, slug, trained

from pretune.api import Workbench, compare_runs, label_rows, soften_rows
from pretune.core.files import write_atomic
from pretune.data.dataset import prepare
from pretune.evaluation.evaluate import load_evaluation, save_evaluation
from pretune.spec.task import TaskSpec, parse_task

STEPS = 120
"""Optimiser steps of 32 rows."""


class Rows(NamedTuple):
    """Where rows come from, which labels are kept, and how many the student has of each kind."""

    folder: str
    instruction: str
    within: str
    labelled: int
    unlabelled: int


SETS = {
    "sst2": Rows("sst2", "Is the review positive or negative?", "", 500, 2000),
    "banking77, cards": Rows(
        "banking77", "Name the intent of the customer's message.", "card", 300, 1200
    ),
}

SOFT = {"temperature": 2.0, "weight": 0.9}

STUDENTS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "few labels": (("few",), {}),
    "few labels, soft": (("few",), SOFT),
    "few labels, answers": (("few", "answered"), {}),
    "few labels, answers, soft": (("few", "answered"), SOFT),
    "few labels, answers, soft, T=1": (("few", "answered"), {**SOFT, "temperature": 1.0}),
    "few labels, answers, soft, T=4": (("few", "answered"), {**SOFT, "temperature": 4.0}),
    "all of them labelled": (("few", "told"), {}),
}
"""Files of training rows, and how soft labels are used, if at all."""

BEFORE = "few labels"
"""What every other student is compared with."""


def task_of(home: Path, name: str, train: list[str], teacher: dict[str, Any] | None) -> TaskSpec:
    """The task file of one student, or of the teacher, which has none."""
    labels = json.loads((home / "labels.json").read_text("utf-8"))
    student = {"method": {"name": "lora", "rank": 8}} if teacher else {"method": "full"}
    return parse_task(
        {
            "name": "soft",
            "data": {
                "train": [f"{file}.jsonl" for file in train],
                "validation": "validation.jsonl",
                "test": "test.jsonl",
            },
            "template": {
                "system": SETS[name].instruction,
                "user": "{text}",
                "target": "{label}",
            },
            "labels": labels,
            "metrics": ["accuracy", "macro_f1"],
            "train": {
                "precision": "auto",
                "evaluation_rows": 200,
                "epochs": 99 if teacher else 3,
                "max_steps": STEPS if teacher else None,
                "patience": 99,
                "micro_batch_size": 8 if teacher and "soft" in teacher else None,
            },
            "teacher": teacher,
            **student,
        },
        folder=home,
    )


def cut(data: Path, name: str, home: Path) -> None:
    """The rows of a set: ``all`` for the teacher; ``few`` with labels, ``asked`` without them, and
    ``told``, the same with them."""
    source, _, within, labelled, unlabelled = SETS[name]
    labels = json.loads((data / source / "task.json").read_text("utf-8"))["labels"]
    labels = [label for label in labels if within in label]

    def write(file: str, rows: list[dict[str, str]]) -> None:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_atomic(home / f"{file}.jsonl", text)

    for split in ("validation", "test", "train"):
        lines = (data / source / f"{split}.jsonl").read_text("utf-8").splitlines()
        rows = [row for row in map(json.loads, lines) if row["label"] in labels]
        if split != "train":
            write(split, rows)
    Random(0).shuffle(rows)
    few, rest = rows[:labelled], rows[labelled : labelled + unlabelled]
    write("all", rows)
    write("few", few)
    write("told", rest)
    write("asked", [{"text": row["text"]} for row in rest])
    write_atomic(home / "labels.json", json.dumps(labels))


def run(data: Path, name: str, who: str, out: Path) -> None:
    """Train and measure the teacher, or one student."""
    home = out / slug(name)
    if not (home / "labels.json").exists():
        cut(data, name, home)
    if who == "teacher":
        task = task_of(home, name, ["all"], None)
    else:
        files, softening = STUDENTS[who]
        teacher: dict[str, Any] = {"adapter": "teacher"}
        if softening:
            teacher |= {"soft": f"soft-{len(files)}.jsonl", **softening}
        task = task_of(home, name, list(files), teacher)
        if "answered" in files and not (home / "answered.jsonl").exists():
            label_rows(task, [home / "asked.jsonl"], home / "answered.jsonl")
        if softening and not (home / teacher["soft"]).exists():
            soften_rows(task)
    workbench = Workbench.open(task.base)
    rows = prepare(task, workbench.base.renderer)
    folder = home / slug(who)
    done = trained(workbench, task, folder, rows)
    found = workbench.evaluate(task, rows.test, done.adapter)
    save_evaluation(found, done.folder.evaluation)
    keep(folder, {"who": who, "rows": len(rows.train), **done.record()})


def table(out: Path) -> str:
    """The results in ``out`` as Markdown."""
    lines = []
    for name in SETS:
        lines += [
            f"### {name}",
            "",
            "| learned from | accuracy | 95 % interval | macro F1 | validation "
            "| against few labels | 95 % interval | p | train s |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for who in ("teacher", *STUDENTS):
            folder = out / slug(name) / slug(who)
            if (record := kept(folder)) is None:
                continue
            found = load_evaluation(folder / "evaluation" / "test").metrics
            one = found["accuracy"]
            compared = "| | | "
            first = out / slug(name) / slug(BEFORE) / "evaluation" / "test"
            if who not in ("teacher", BEFORE) and first.exists():
                other = compare_runs(first, folder / "evaluation" / "test")[0]
                delta = other.delta
                compared = (
                    f"| {delta.value:+.3f} | {delta.low:+.3f} to {delta.high:+.3f} | {other.p:.3f} "
                )
            lines.append(
                f"| {who} | {one.value:.3f} | {one.low:.3f} to {one.high:.3f} | "
                f"{found['macro_f1'].value:.3f} | {record['validation']['accuracy']:.3f} "
                f"{compared}| {record['seconds']:.0f} |"
            )
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with sst2/ and banking77/")
    parser.add_argument("--out", type=Path, default=Path("runs/soft-labels"))
    parser.add_argument("--set", action="append", choices=SETS, help="this set; repeatable")
    parser.add_argument("--only", nargs=2, metavar=("SET", "WHO"), help="one part, in-process")
    parser.add_argument("--table", type=Path, help="print the results of this folder")
    args = parser.parse_args()
    if args.table:
        print(table(args.table))
        return
    if args.only:
        run(args.data, *args.only, args.out)
        return
    for who in ("teacher", *STUDENTS):
        for name in args.set or SETS:
            if kept(args.out / slug(name) / slug(who)) is None:
                print(f"{name}: {who}", flush=True)
                command = [sys.executable, __file__, "--data", str(args.data)]
                command += ["--out", str(args.out), "--only", name, who]
                subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
