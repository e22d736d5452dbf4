"""Write the made text: seeded rows of every generator, checked against `overlap.py`, tokenised.

    python tools/base/made_text.py --tokens-per-group 3000000

One token file per group, `<out>/made_<group>.bin`, and `<out>/made_text.json` with the counts.
`--show 3` prints samples of every generator instead.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import chat
from made import (
    cut,
    data_text,
    entities,
    intents,
    logs,
    numbers,
    pairs,
    sentiment_en,
    sentiment_zh,
    topics,
)
from made.exercise import Exercise, compose
from overlap import Forbidden
from prepare import write_tokens
from tokenizers import Tokenizer

Maker = Callable[[random.Random], Exercise]
Group = list[tuple[Maker, int]]


def groups(corpus: Path) -> dict[str, Group]:
    """Every group of generators, each generator with its weight within the group."""
    library = cut.Library(corpus)
    return {
        "sentiment_en": sentiment_en.MAKERS,
        "sentiment_zh": sentiment_zh.MAKERS,
        "intents": intents.MAKERS,
        "topics": topics.MAKERS,
        "data_text": data_text.MAKERS,
        "pairs": pairs.MAKERS,
        "entities": entities.MAKERS,
        "numbers": numbers.MAKERS,
        "logs": logs.MAKERS,
        "cut": [(partial(maker, library=library), weight) for maker, weight in cut.MAKERS],
    }


CHARACTERS_PER_TOKEN = 3.2  # a first guess; only the size of a group depends on it


def rows(name: str, group: Group, seed: int) -> Iterator[str]:
    """Endless rendered rows of one group."""
    rng = random.Random(f"{seed} {name}")
    makers, weights = zip(*group, strict=True)
    while True:
        yield chat.render(compose(rng, rng.choices(makers, weights)[0](rng)))


def write_group(
    args: argparse.Namespace, name: str, group: Group, tokenizer: Tokenizer, forbidden: Forbidden
) -> dict[str, int]:
    """Make, check, tokenise and write one group; returns its counts."""
    kept: list[str] = []
    dropped = characters = 0
    for row in rows(name, group, args.seed):
        if forbidden.hits(row):
            dropped += 1
            continue
        kept.append(row)
        characters += len(row)
        if characters > args.tokens_per_group * CHARACTERS_PER_TOKEN:
            break
    tokens = write_tokens(args.out / f"made_{name}.bin", kept, tokenizer)
    return {"rows": len(kept), "dropped": dropped, "tokens": tokens}


def show(known: dict[str, Group], count: int, seed: int) -> None:
    """Print samples of every generator."""
    for name, group in known.items():
        for maker, _ in group:
            rng = random.Random(seed)
            for _ in range(count):
                print(f"[{name}] {chat.render(compose(rng, maker(rng)))}\n")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, default=Path("../shared/corpus"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path(".work/base/tokens"))
    parser.add_argument(
        "--tokenizer", type=Path, default=Path("src/pretune/bases/embedded/tokenizer.json")
    )
    parser.add_argument("--tokens-per-group", type=int, default=3_000_000)
    parser.add_argument("--groups", nargs="*", help="default: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=0, help="print this many samples and stop")
    args = parser.parse_args()
    known = groups(args.corpus)
    known = {name: known[name] for name in args.groups or known}
    if args.show:
        show(known, args.show, args.seed)
        return
    tokenizer = Tokenizer.from_file(str(args.tokenizer))
    forbidden = Forbidden(args.data)
    report_file = args.out / "made_text.json"
    report = json.loads(report_file.read_text()) if report_file.exists() else {}
    for name, group in known.items():
        report[f"made_{name}"] = write_group(args, name, group, tokenizer, forbidden)
        print(name, report[f"made_{name}"], flush=True)
    report_file.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
