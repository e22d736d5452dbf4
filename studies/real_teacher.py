"""What a real teacher makes of real documents, and what a student gains from its pairs.

The teacher reads paragraphs that people have asked about; its pairs train an adapter, and the
people's questions, which it never saw, test it against the untuned base. What is finished is kept:
stop and start the study at will.

    python studies/real_teacher.py --teacher ./smollm2 --data ../shared/data/rag_xquad_en
    python studies/real_teacher.py --table runs/real-teacher

``--data`` holds ``docs.jsonl`` (``doc_id``, ``title``, ``text``) and ``test.jsonl`` (``question``,
``answer``, ``doc_id``). A teacher that exists as a GGUF file alone becomes a folder by
``AutoModelForCausalLM.from_pretrained(folder, gguf_file=...,
quantization_config=GgufConfig(dequantize=True)).save_pretrained(...)`` and the same for its
tokenizer.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cells import trained

from pretune.api import Workbench, compare_runs, distil_documents
from pretune.cli.output import quiet_libraries
from pretune.core.errors import DataError
from pretune.core.files import write_atomic
from pretune.data.dataset import prepare
from pretune.evaluation.evaluate import load_evaluation, save_evaluation
from pretune.spec.distil import parse_distil
from pretune.spec.task import TaskSpec, parse_task

QUESTIONS = {"fact": 1, "number": 1}
"""Of a chunk; one paragraph is one chunk."""

EPOCHS = 3


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def lay_out(data: Path, most: int, out: Path) -> None:
    """The first ``most`` documents as files, and what people asked about them as rows; what they
    asked about the next ones chooses the adapter."""
    docs = rows_of(data / "docs.jsonl")
    for number, doc in enumerate(docs[:most]):
        title = doc["title"].replace("_", " ")
        write_atomic(out / "documents" / f"{number:03}.md", f"# {title}\n\n{doc['text']}\n")
    for name, some in (("questions", docs[:most]), ("validation", docs[most : 2 * most])):
        texts = {doc["doc_id"]: doc["text"] for doc in some}
        lines = [
            json.dumps({**row, "context": texts[row["doc_id"]]}, ensure_ascii=False) + "\n"
            for row in rows_of(data / "test.jsonl")
            if row["doc_id"] in texts
        ]
        write_atomic(out / f"{name}.jsonl", "".join(lines))


def distil(teacher: str, precision: str, held: bool, out: Path) -> None:
    """Ask the teacher about all documents; what it said is not asked again."""
    spec = parse_distil(
        {
            "teacher": {
                "base": {"name": teacher, "precision": precision},
                "temperature": 0.3,
                "max_tokens": 160,
                "held": held,
            },
            "questions": QUESTIONS,
            "chunks": {"size": 2000},
        }
    )
    distil_documents(
        out / "documents",
        out / "pairs",
        spec,
        progress=lambda standing: print(standing, flush=True),
    )


def task_of(out: Path, student: str) -> TaskSpec:
    """Answer from a context: pairs to learn from, people's questions to be tested by."""
    return parse_task(
        {
            "name": "documents",
            "base": student,
            "data": {
                "train": "pairs/pairs.jsonl",
                "validation": "validation.jsonl",
                "test": "questions.jsonl",
            },
            "template": {"context": "{context}", "user": "{question}", "target": "{answer}"},
            "metrics": ["rouge_l", "exact_match"],
            "train": {"epochs": EPOCHS, "batch_size": 8, "precision": "auto"},
            "generate": {"max_new_tokens": 32},
        },
        folder=out,
    )


def gain(out: Path, student: str) -> None:
    """Train on the pairs and answer the people's questions with the adapter and without."""
    task = task_of(out, student)
    workbench = Workbench.open(task.base)
    home = out / f"student-{workbench.base.digest[:12]}"
    data = prepare(task, workbench.base.renderer)
    done = trained(workbench, task, home, data)
    untuned = home / "untuned"
    save_evaluation(workbench.evaluate(task, data.test), untuned)
    save_evaluation(workbench.evaluate(task, data.test, done.adapter), done.folder.evaluation)


def table(out: Path) -> Iterator[str]:
    """What came of it, as Markdown."""
    documents = len(list((out / "documents").iterdir()))
    kept, rejected = (rows_of(out / "pairs" / f"{name}.jsonl") for name in ("pairs", "rejected"))
    replies = [row for row in rejected if not row.get("question")]
    pairs = len(kept) + len(rejected) - len(replies)
    yield f"- {documents} documents, {pairs} pairs written, {pairs / documents:.2f} a document"
    yield f"- {len(kept)} pairs accepted, {len(kept) / max(pairs, 1):.1%}"
    yield f"- {len(replies)} replies of which nothing could be used"
    yield ""
    yield "| rejected because | pairs or replies |"
    yield "| --- | ---: |"
    for reason, count in Counter(row["reason"] for row in rejected).most_common():
        yield f"| {reason} | {count} |"
    for home in sorted(out.glob("student-*")):
        tuned = home / "evaluation" / "test"
        if not tuned.exists():
            continue
        yield ""
        asked = len(load_evaluation(tuned).predictions)
        yield f"Student: base {home.name.removeprefix('student-')}, {asked} questions of people."
        yield ""
        yield "| metric | untuned | tuned | difference | 95 % interval | p |"
        yield "| --- | ---: | ---: | ---: | --- | ---: |"
        for one in compare_runs(home / "untuned", tuned):
            yield (
                f"| {one.metric} | {one.first:.3f} | {one.second:.3f} | {one.delta.value:+.3f} | "
                f"{one.delta.low:+.3f} to {one.delta.high:+.3f} | {one.p:.3f} |"
            )


def main() -> None:
    """Run what is missing, or print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher", help="folder of the teacher, a base")
    parser.add_argument("--precision", default="bf16", help="of the teacher")
    parser.add_argument("--held", action="store_true", help="hold its answers to the JSON")
    parser.add_argument("--student", default="embedded")
    parser.add_argument("--data", type=Path, help="folder with docs.jsonl and test.jsonl")
    parser.add_argument("--documents", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("runs/real-teacher"))
    parser.add_argument("--table", type=Path, help="print the results of this folder")
    args = parser.parse_args()
    if args.table:
        print("\n".join(table(args.table)))
        return
    quiet_libraries()
    lay_out(args.data, args.documents, args.out)
    distil(args.teacher, args.precision, args.held, args.out)
    try:
        gain(args.out, args.student)
    except DataError as error:
        print(f"no student: {error}")


if __name__ == "__main__":
    main()
