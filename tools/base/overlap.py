"""Keep validation and test rows out of the training text, and prove that they are out.

A document offends when it shares, with any text field of a validation or test row,

* 8 consecutive words (letters and digits, lower case), or
* 13 consecutive Han characters (everything else left out), or
* a whole line or chat turn, where that field is too short for either (3 words or 6 Han at least).

    python tools/base/overlap.py            # decodes every token file and counts what is left

prints the proof as JSON; `prepare.py` and `made_text.py` use `Forbidden` to drop offenders first.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import numpy as np
from chat import BOS_ID
from numpy.typing import NDArray
from tokenizers import Tokenizer

WORDS_PER_GRAM = 8
HAN_PER_GRAM = 13
SHORTEST_WORDS = 3
SHORTEST_HAN = 6
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

WORD = re.compile(r"[a-z0-9à-öø-ÿ]+")
NOT_HAN = re.compile(r"[^\u3400-\u4dbf\u4e00-\u9fff]+")
BORDER = re.compile(r"\n|<\|[a-z0-9_]+\|>")

Hashes = NDArray[np.uint64]


def word_numbers(text: str) -> Hashes:
    """One 32-bit number per word."""
    numbers = [crc32(word.encode()) for word in WORD.findall(text.lower())]
    return np.array(numbers, dtype=np.uint64)


def han_numbers(text: str) -> Hashes:
    """The code points of the Han characters."""
    han = NOT_HAN.sub("", text)
    return np.frombuffer(han.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)


def gram_hashes(numbers: Hashes, size: int) -> Hashes:
    """Polynomial 64-bit hashes of all `size`-grams of a sequence of numbers."""
    count = len(numbers) - size + 1
    if count < 1:
        return np.empty(0, dtype=np.uint64)
    hashes = np.full(count, size, dtype=np.uint64)
    for offset in range(size):
        hashes = (hashes ^ (hashes >> np.uint64(29))) * MULTIPLIER
        hashes += numbers[offset : offset + count] + np.uint64(1)
    return hashes


def whole_hash(text: str) -> int | None:
    """A hash of a whole short line; None where the line is too short to mean anything."""
    words, han = word_numbers(text), han_numbers(text)
    if len(han) >= SHORTEST_HAN:
        return int(gram_hashes(han, len(han))[0])
    if len(words) >= SHORTEST_WORDS:
        return int(gram_hashes(words, len(words))[0])
    return None


def strings_in(value: object) -> Iterator[str]:
    """Every string inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings_in(inner)


class Forbidden:
    """The n-grams and short lines of all validation and test rows under a data folder."""

    def __init__(self, data: Path) -> None:
        grams: list[Hashes] = []
        self.short: set[int] = set()
        self.rows = 0
        for path in sorted([*data.glob("*/validation.jsonl"), *data.glob("*/test.jsonl")]):
            for line in path.read_text(encoding="utf-8").split("\n"):
                if not line:
                    continue
                self.rows += 1
                for text in strings_in(json.loads(line)):
                    found = self.grams_of(text)
                    grams.append(found)
                    whole = whole_hash(text) if not len(found) else None
                    if whole is not None:
                        self.short.add(whole)
        self.grams = np.unique(np.concatenate(grams))

    @staticmethod
    def grams_of(text: str) -> Hashes:
        """Word grams and Han grams of a text, together."""
        words = gram_hashes(word_numbers(text), WORDS_PER_GRAM)
        han = gram_hashes(han_numbers(text), HAN_PER_GRAM)
        return np.concatenate([words, han])

    def hits(self, text: str) -> int:
        """How many n-grams and whole lines of a text are forbidden."""
        found = self.grams_of(text)
        places = np.searchsorted(self.grams, found).clip(max=len(self.grams) - 1)
        shared = int((self.grams[places] == found).sum())
        lines = (whole_hash(line) for line in BORDER.split(text) if len(line) < 200)
        return shared + sum(line in self.short for line in lines)


def decoded_documents(tokens: Path, tokenizer_file: Path) -> Iterator[tuple[str, list[str]]]:
    """For every token file: its name and its documents, as text."""
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    for path in sorted(tokens.glob("*.bin")):
        stream = np.fromfile(path, dtype=np.uint16)
        starts = np.flatnonzero(stream == BOS_ID)[1:]
        pieces = [piece.tolist() for piece in np.split(stream, starts)]
        yield path.stem, tokenizer.decode_batch(pieces, skip_special_tokens=False)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument(
        "--tokens", type=Path, nargs="+", default=[Path(".work/base/tokens")], help="folders"
    )
    parser.add_argument(
        "--tokenizer", type=Path, default=Path("src/pretune/bases/embedded/tokenizer.json")
    )
    parser.add_argument("--out", type=Path, default=Path(".work/base/overlap.json"))
    args = parser.parse_args()
    forbidden = Forbidden(args.data)
    proof: dict[str, object] = {
        "forbidden_rows": forbidden.rows,
        "forbidden_grams": len(forbidden.grams),
        "forbidden_short_lines": len(forbidden.short),
    }
    checked: dict[str, dict[str, int]] = {}
    for folder in args.tokens:
        for name, documents in decoded_documents(folder, args.tokenizer):
            hits = sum(forbidden.hits(document) for document in documents)
            checked[f"{folder.name}/{name}"] = {"documents": len(documents), "hits": hits}
            print(name, len(documents), hits, flush=True)
    proof["checked"] = checked
    proof["hits_after"] = {
        folder.name: sum(
            entry["hits"] for name, entry in checked.items() if name.startswith(f"{folder.name}/")
        )
        for folder in args.tokens
    }
    args.out.write_text(json.dumps(proof, indent=1) + "\n")
    print(json.dumps({key: proof[key] for key in proof if key != "checked"}))


if __name__ == "__main__":
    main()
