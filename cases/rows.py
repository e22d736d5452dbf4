"""The working rows of a case: few labelled ones, others for a teacher, documents, and test rows.

    python cases/rows.py risk DATA OUT

Deterministic: the first rows of each split, as the data set has them.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]


def write(path: Path, rows: Iterable[Row]) -> None:
    """A JSONL file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def split(data: Path, name: str, part: str) -> list[Row]:
    """Rows of one split of a data set, in its order."""
    lines = (data / name / f"{part}.jsonl").read_text("utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def risk(data: Path, out: Path) -> None:
    """Financial news: 400 sentences with labels for the student, 1,200 more that only the teacher
    may read, and the other texts as documents without any."""
    rows = split(data, "financial_phrasebank", "train")
    write(out / "labelled.jsonl", rows[:400])
    write(out / "archive.jsonl", rows[400:1600])
    write(out / "documents.jsonl", ({"text": row["text"]} for row in rows[1600:]))
    for part in ("validation", "test"):
        write(out / f"{part}.jsonl", split(data, "financial_phrasebank", part))


def routing(data: Path, out: Path) -> None:
    """Messages of bank customers with their intent, log lines with the system that wrote them."""
    limits = {"train": 1500, "validation": 300, "test": 600}
    for part, limit in limits.items():
        write(out / f"messages-{part}.jsonl", split(data, "banking77", part)[:limit])
        lines = split(data, "loghub_template", part)[:limit]
        kept = ({"text": row["input"], "label": row["system"]} for row in lines)
        write(out / f"logs-{part}.jsonl", kept)


if __name__ == "__main__":
    {"risk": risk, "routing": routing}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
