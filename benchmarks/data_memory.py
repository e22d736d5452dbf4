"""Peak memory and speed of the data workshop's steps as rows grow, and of a PDF of 2,000 pages.

Each figure is a process of its own: its resident set at the highest point, libraries included. Rows
are made here; the other steps read what ``rules`` made.

    python benchmarks/data_memory.py --out runs/data-memory
    python benchmarks/data_memory.py --out runs/data-memory --steps rules mask --rows 100000
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pretune.spec.task import TaskSpec

ROWS = (100_000, 1_000_000)
PAGES = 2000

RULES = {
    "name": "transfers",
    "slots": {
        "person": ["Anna Reed", "Marek Holm", "Leila Costa", "Owen Shaw"],
        "amount": {"number": {"from": 50, "to": 90_000, "step": 0.01, "forms": ["${,}", "{} USD"]}},
        "phone": {"number": {"from": 13_800_000_000, "to": 13_899_999_999}},
        "ask": ["(Please send|Transfer) {amount} to {person}", "{person} waits for {amount}"],
    },
    "rules": [
        {
            "name": "transfer",
            "bind": {"person": "person", "amount": "amount", "phone": "phone"},
            "compute": {"label": "'large' if amount >= 5000 else 'small'"},
            "fields": {"text": "{ask!}; call {phone}.", "label": "{label}"},
        }
    ],
}

LINE = "Clause {page}.{line} says that the fee of product {page} is {line} euros a month."


def _rules(folder: Path, rows: int) -> None:
    from pretune.data.rules.make import make_rows
    from pretune.spec.rules import parse_rules

    make_rows(parse_rules(RULES, folder=folder), folder / "made.jsonl", rows, overwrite=True)


def _mask(folder: Path, rows: int) -> None:
    from pretune.data.privacy.mask import mask_rows

    mask_rows(folder / "made.jsonl", folder / "masked.jsonl", folder / "key", overwrite=True)


def _mix(folder: Path, rows: int) -> None:
    from pretune.data.mix import mix_rows
    from pretune.spec.mixing import MixSpec

    spec = MixSpec(caps={"synthetic": rows // 2})
    mix_rows([folder / "made.jsonl"], folder / "mixed", spec, overwrite=True)


def _task(folder: Path) -> "TaskSpec":
    from pretune.spec.task import parse_task

    value = {
        "name": "transfers",
        "data": {"train": "made.jsonl"},
        "template": {"user": "{text}", "target": "{label}"},
        "labels": ["large", "small"],
    }
    return parse_task(value, folder=folder)


def _augment(folder: Path, rows: int) -> None:
    from pretune.data.augment.augment import augment_rows
    from pretune.spec.augmenting import AugmentSpec

    spec = AugmentSpec(operators=("entity", "typo+colloquial"), per_row=2)
    augment_rows(_task(folder), folder / "varied.jsonl", spec, overwrite=True)


def _clean(folder: Path, rows: int) -> None:
    from pretune.data.clean.clean import clean_rows
    from pretune.spec.cleaning import CleanSpec

    clean_rows(_task(folder), folder / "cleaned", CleanSpec(), overwrite=True)


def _documents(folder: Path, pages: int) -> None:
    from pretune.data.documents.step import write_chunks
    from pretune.spec.distil import ChunkSpec, LimitSpec

    write_chunks(folder / "documents", folder / "chunks", ChunkSpec(), LimitSpec(), overwrite=True)


STEPS: dict[str, Callable[[Path, int], None]] = {
    "rules": _rules,
    "mask": _mask,
    "mix": _mix,
    "augment": _augment,
    "clean": _clean,
    "documents": _documents,
}


def _write_pdf(path: Path, pages: int) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "data" / "documents"))
    import makers

    path.parent.mkdir(parents=True, exist_ok=True)
    texts = (
        makers.lines(
            (10, f"Of product {page} this is said."),
            (18, f"Product {page}"),
            *((10, LINE.format(page=page, line=n)) for n in range(1, 31)),
        )
        for page in range(1, pages + 1)
    )
    makers.pdf(path, *texts)


def _megabytes(who: int) -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(who).ru_maxrss * unit / 2**20


def measure(step: str, folder: Path, count: int) -> None:
    """Run one step here and print what it took as JSON; of documents, the process that reads."""
    began = time.perf_counter()
    STEPS[step](folder, count)
    seconds = time.perf_counter() - began
    reader = _megabytes(resource.RUSAGE_CHILDREN)
    own = _megabytes(resource.RUSAGE_SELF)
    print(json.dumps({"peak": own, "reader": reader, "seconds": seconds}))


def main() -> None:
    """Measure every step at every number of rows, one process each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/data-memory"))
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--rows", nargs="+", type=int, default=ROWS)
    parser.add_argument("--pages", nargs="+", type=int, default=[PAGES // 10, PAGES])
    parser.add_argument("--only", nargs=2, metavar=("STEP", "COUNT"), help="one, in-process")
    args = parser.parse_args()
    if args.only:
        measure(args.only[0], args.out, int(args.only[1]))
        return
    print("| step | rows or pages | peak MB | the reading process, MB | seconds |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for step in (one for one in STEPS if one in args.steps):  # each reads the last one's rows
        for count in args.pages if step == "documents" else args.rows:
            home = args.out / str(count)
            if step == "documents":
                _write_pdf(home / "documents" / "long.pdf", count)
            command = [sys.executable, __file__, "--out", str(home), "--only", step, str(count)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            reader = f"{found['reader']:.0f}" if step == "documents" else ""
            print(
                f"| {step} | {count:,} | {found['peak']:.0f} | {reader} | {found['seconds']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
