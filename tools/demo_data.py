"""Write the rows of the demo's six tasks.

    python tools/demo_data.py

rewrites ``<task>.train.jsonl``, ``.validation.jsonl`` and ``.test.jsonl`` beside the task files in
``src/pretune/cli/demo_tasks``, with the same bytes every time, from the rules files in ``rules``
there. ``pretune data rules`` makes such rows of any rules file.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pretune.data.rules.book import Book
from pretune.data.rules.make import Maker
from pretune.data.splits import Split
from pretune.spec.rules import load_rules

FOLDER = Path(__file__).parents[1] / "src/pretune/cli/demo_tasks"
RULES = sorted((FOLDER / "rules").glob("*.rules.yaml"))
SIZES: Mapping[Split, int] = {Split.TRAIN: 800, Split.VALIDATION: 100, Split.TEST: 240}


def rows_of(path: Path) -> dict[Split, list[Mapping[str, Any]]]:
    """Rows of every part for the rules file ``path``; no prompt comes twice, in any part."""
    book = Book(load_rules(path))
    made: dict[Split, list[Mapping[str, Any]]] = {}
    for part, size in SIZES.items():
        maker = Maker(book, size, seed=0, part=part)
        maker.remember(row for rows in made.values() for row in rows)
        made[part] = [row.fields for row in maker.rows()]
    return made


def files() -> dict[str, str]:
    """Text of every data file by its name."""
    return {
        f"{path.name.split('.')[0]}.{part}.jsonl": "".join(
            json.dumps(row, ensure_ascii=False) + "\n" for row in rows
        )
        for path in RULES
        for part, rows in rows_of(path).items()
    }


def main() -> None:
    """Write the files into the package."""
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
