"""Does a prompt-scope student gain from a teacher? Few labelled rows, more without labels.

The teacher is tuned on all training rows. The student, LoRA r=8 on the prompt, has 500 labelled
rows and 2,000 without labels. All students take the same number of steps. Finished parts are kept:
stop and start the study at will.

    python studies/soft_labels.py --data ../shared/data --out runs/soft-labels
    python studies/soft_labels.py --table runs/soft-labels
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

from pretune.api import Workbench, compare_runs, label_rows, soften_rows
from pretune.core.files import write_atomic
from pretune.data.dataset import prepare
from pretune.evaluation.evaluate import load_evaluation, save_evaluation
from pretune.spec.task import TaskSpec, parse_task
from pretune.training.loop import Start

INSTRUCTIONS = {
    "banking77": "Name the intent of the customer's message.",
    "sst2": "Is the review positive or negative?",
}
LABELLED, UNLABELLED, STEPS = 500, 2000, 160

STUDENTS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "500 labels": (("few",), {}),
    "500 labels, soft": (("few",), {"temperature": 2.0, "weight": 0.9}),
    "500 labels + 2,000 answers": (("few", "answered"), {}),
    "500 labels + 2,000 answers, soft": (("few", "answered"), {"temperature": 2.0, "weight": 0.9}),
    "2,500 labels": (("few", "told"), {}),
    "500 + 2,000, soft, T=1": (("few", "answered"), {"temperature": 1.0, "weight": 0.9}),
    "500 + 2,000, soft, T=4": (("few", "answered"), {"temperature": 4.0, "weight": 0.9}),
}
"""Files of training rows, and how soft labels are used, if at all."""

BEFORE = "500 labels"
"""What every other student is compared with."""


def task_of(
    data: Path, name: str, train: list[Path], teacher: dict[str, Any] | None, epochs: int
) -> TaskSpec:
    """The task file of one student; with no files, of the teacher."""
    labels = json.loads((data / name / "task.json").read_text())["labels"]
    student = {"method": {"name": "lora", "rank": 8}} if train else {"method": "full"}
    return parse_task(
        {
            "name": name,
            "data": {
                "train": [str(path.resolve()) for path in train] or "train.jsonl",
                "validation": "validation.jsonl",
                "test": "test.jsonl",
            },
            "template": {"system": INSTRUCTIONS[name], "user": "{text}", "target": "{label}"},
            "labels": labels,
            "metrics": ["accuracy", "macro_f1"],
            "train": {
                "precision": "auto",
                "evaluation_rows": 250,
                "epochs": epochs,
                "patience": 99,
                "micro_batch_size": 8 if teacher else None,
                **({"max_steps": STEPS} if train else {}),
            },
            "teacher": teacher,
            **student,
        },
        folder=data / name,
    )


def cut(data: Path, name: str, out: Path) -> None:
    """The student's rows: ``few`` with labels, ``asked`` without, ``told`` the same with them."""
    lines = (data / name / "train.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    Random(0).shuffle(rows)
    few, rest = rows[:LABELLED], rows[LABELLED : LABELLED + UNLABELLED]
    bare = [{"text": row["text"]} for row in rest]
    for file, some in (("few", few), ("asked", bare), ("told", rest)):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in some)
        write_atomic(out / f"{file}.jsonl", text)


def run(data: Path, name: str, who: str, out: Path) -> None:
    """Train and measure the teacher, or one student."""
    home = out / name
    slug = _slug(who)
    if who == "teacher":
        task = task_of(data, name, [], None, epochs=3)
    else:
        files, softening = STUDENTS[who]
        train = [home / f"{file}.jsonl" for file in files]
        teacher = {"adapter": str((home / "teacher").resolve())}
        if softening:
            soft = home / f"soft-{len(files)}.jsonl"
            teacher |= {"soft": str(soft.resolve()), **softening}
        rows = LABELLED + (UNLABELLED if len(files) > 1 else 0)
        task = task_of(data, name, train, teacher, epochs=-(-STEPS * 32 // rows) + 1)
        if "answered" in files and not (home / "answered.jsonl").exists():
            label_rows(task, [home / "asked.jsonl"], home / "answered.jsonl")
        if softening and not soft.exists():
            soften_rows(task)
    workbench = Workbench.open(task.base)
    rows_of = prepare(task, workbench.base.renderer)
    began = time.perf_counter()
    trained = workbench.train(task, home / slug, data=rows_of, start=Start.RESUME)
    seconds = time.perf_counter() - began
    found = workbench.evaluate(task, rows_of.test, trained.adapter)
    save_evaluation(found, home / slug / "evaluation" / "test")
    record = {"who": who, "train_s": seconds, "rows": len(rows_of.train), **trained.record()}
    write_atomic(home / slug / "result.json", json.dumps(record, indent=1) + "\n")


def table(out: Path) -> str:
    """The results in ``out`` as Markdown."""
    lines = []
    for name in INSTRUCTIONS:
        lines += [
            f"### {name}",
            "",
            "| learned from | accuracy | 95 % interval | macro F1 | validation "
            "| against 500 labels | 95 % interval | p | train s |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for who in ("teacher", *STUDENTS):
            folder = out / name / _slug(who)
            if not (folder / "result.json").exists():
                continue
            record = json.loads((folder / "result.json").read_text())
            found = load_evaluation(folder / "evaluation" / "test").metrics
            one = found["accuracy"]
            compared = "| | | "
            first = out / name / _slug(BEFORE) / "evaluation" / "test"
            if who not in ("teacher", BEFORE) and first.exists():
                other = compare_runs(first, folder / "evaluation" / "test")[0]
                delta = other.delta
                compared = (
                    f"| {delta.value:+.3f} | {delta.low:+.3f} to {delta.high:+.3f} | {other.p:.3f} "
                )
            lines.append(
                f"| {who} | {one.value:.3f} | {one.low:.3f} to {one.high:.3f} | "
                f"{found['macro_f1'].value:.3f} | {record['validation']['accuracy']:.3f} "
                f"{compared}| {record['train_s']:.0f} |"
            )
        lines.append("")
    return "\n".join(lines)


def _slug(who: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in who)


def main() -> None:
    """Run what is missing, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with sst2/ and banking77/")
    parser.add_argument("--out", type=Path, default=Path("runs/soft-labels"))
    parser.add_argument("--only", nargs=2, metavar=("SET", "WHO"), help="one part, in-process")
    parser.add_argument("--table", type=Path, help="print the results of this folder")
    args = parser.parse_args()
    if args.table:
        print(table(args.table))
        return
    if args.only:
        run(args.data.resolve(), *args.only, args.out)
        return
    for name in INSTRUCTIONS:
        if not (args.out / name / "few.jsonl").exists():
            cut(args.data, name, args.out / name)
    for who in ("teacher", *STUDENTS):
        for name in INSTRUCTIONS:
            if not (args.out / name / _slug(who) / "result.json").exists():
                print(f"{name}: {who}", flush=True)
                command = [sys.executable, __file__, "--data", str(args.data)]
                command += ["--out", str(args.out), "--only", name, who]
                subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
