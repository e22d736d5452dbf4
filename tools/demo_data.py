"""Write the rows of the demo's six tasks.

    python tools/demo_data.py

rewrites ``<task>.train.jsonl``, ``.validation.jsonl`` and ``.test.jsonl`` beside the task files in
``src/pretune/cli/demo_tasks``, with the same bytes every time. Patterns and word lists are in
``tools/demo_tasks/words``.
"""

import json
from pathlib import Path

from demo_tasks.tasks import TASKS

FOLDER = Path(__file__).parents[1] / "src/pretune/cli/demo_tasks"


def files() -> dict[str, str]:
    """Text of every data file by its name."""
    return {
        f"{task.name}.{part}.jsonl": "".join(
            json.dumps(row, ensure_ascii=False) + "\n" for row in rows
        )
        for task in TASKS
        for part, rows in task.rows().items()
    }


def main() -> None:
    """Write the files into the package."""
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
