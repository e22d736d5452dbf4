"""Turn the corpus into shuffled token files, offending documents left out.

    python tools/base/prepare.py

writes `<out>/<source>.bin` (uint16, documents as `<|bos|> ... <|end|>`), `<valid>/*.bin` for the
held-out file, one per kind of text, and `<out>/prepared.json` with what was kept and dropped.
Dialogues are written as chats.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from pathlib import Path

import chat
import numpy as np
from corpus import VALIDATION, read_rows, read_texts, source_names
from overlap import Forbidden
from tokenizers import Tokenizer

# Speaker label -> chat role. The first speaker of two equals plays the user.
SPEAKERS = {
    "Customer": "user", "Agent": "assistant",
    "顾客": "user", "客服": "assistant",
    "甲": "user", "乙": "assistant",
}  # fmt: skip
SPOKEN = re.compile(rf"^({'|'.join(SPEAKERS)})\s*[:：]\s*", re.MULTILINE)


def dialogue_turns(text: str) -> list[chat.Turn]:
    """The turns of a labelled dialogue; neighbours of one role are joined."""
    parts = SPOKEN.split(text)[1:]
    turns: list[chat.Turn] = []
    for speaker, said in zip(parts[::2], parts[1::2], strict=True):
        role, said = SPEAKERS[speaker], said.strip()
        if turns and turns[-1].role == role:
            turns[-1] = chat.Turn(role, f"{turns[-1].content} {said}")
        else:
            turns.append(chat.Turn(role, said))
    return turns


def render(source: str, text: str) -> str:
    """A document as the model reads it."""
    if source.endswith("dialogues"):
        return chat.render(dialogue_turns(text))
    return chat.render_document(text)


def write_tokens(path: Path, documents: list[str], tokenizer: Tokenizer) -> int:
    """Write the documents one after another; returns the number of tokens."""
    encoded = tokenizer.encode_batch(documents, add_special_tokens=False)
    tokens = np.concatenate([np.array(item.ids, dtype=np.uint16) for item in encoded])
    partial = path.with_suffix(".partial")
    tokens.tofile(partial)
    partial.replace(path)
    return len(tokens)


def prepare_source(
    args: argparse.Namespace, source: str, tokenizer: Tokenizer, forbidden: Forbidden
) -> dict[str, int]:
    """Render, filter, shuffle and tokenise one source; returns its counts.

    What is checked is the rendered text: joining turns can make n-grams that the raw text lacks.
    """
    documents = [render(source, text) for text in read_texts(args.corpus, source)]
    hits = [forbidden.hits(document) for document in documents]
    kept = [document for document, hit in zip(documents, hits, strict=True) if not hit]
    random.Random(f"{args.seed} {source}").shuffle(kept)
    tokens = write_tokens(args.out / f"{source}.bin", kept, tokenizer)
    return {
        "documents": len(documents),
        "dropped": len(documents) - len(kept),
        "hits_before": sum(hits),
        "tokens": tokens,
        "bytes": sum(len(text.encode()) for text in kept),
    }


def prepare_validation(args: argparse.Namespace, tokenizer: Tokenizer) -> dict[str, dict[str, int]]:
    """Tokenise the held-out file by source; bytes are those of the raw text."""
    groups: dict[str, list[str]] = {}
    for row in read_rows(args.corpus, VALIDATION):
        groups.setdefault(row["source"], []).append(row["text"].strip())
    report = {}
    args.valid.mkdir(parents=True, exist_ok=True)
    for number, (source, texts) in enumerate(sorted(groups.items())):
        documents = [chat.render_document(text) for text in texts]
        tokens = write_tokens(args.valid / f"{number:02d}.bin", documents, tokenizer)
        size = sum(len(text.encode()) for text in texts)
        report[f"{number:02d}"] = {"source": source, "tokens": tokens, "bytes": size}
    (args.valid / "sources.json").write_text(json.dumps(report, indent=1, ensure_ascii=False))
    return report


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, default=Path("../shared/corpus"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path(".work/base/tokens"))
    parser.add_argument("--valid", type=Path, default=Path(".work/base/valid"))
    parser.add_argument(
        "--tokenizer", type=Path, default=Path("src/pretune/bases/embedded/tokenizer.json")
    )
    parser.add_argument("--sources", nargs="*", help="only these; default: all")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(args.tokenizer))
    print("validation", prepare_validation(args, tokenizer), flush=True)
    forbidden = Forbidden(args.data)
    print(f"{forbidden.rows} rows hold {len(forbidden.grams)} n-grams", flush=True)
    report_file = args.out / "prepared.json"
    report = json.loads(report_file.read_text()) if report_file.exists() else {}
    for source in args.sources or source_names(args.corpus):
        report[source] = prepare_source(args, source, tokenizer, forbidden)
        print(source, report[source], flush=True)
    report_file.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
