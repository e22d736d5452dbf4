"""What the checks of distilling do to pairs that people wrote, and to the same pairs spoilt.

    python studies/distil_checks.py FOLDER

``FOLDER`` holds ``docs.jsonl`` (``doc_id``, ``text``) and ``test.jsonl`` (``question``, ``answer``,
``doc_id``), such as the paragraphs and questions of XQuAD. No teacher is asked.
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path
from random import Random

from pretune.data.distil.checks import Source, check
from pretune.data.distil.pairs import Fault, Pair
from pretune.data.distil.prompts import prompts_for
from pretune.data.terms import numbers
from pretune.data.textindex import TextIndex
from pretune.spec.distil import CheckSpec, QuestionType

_SENTENCE_END = re.compile(r"(?<=[.!?]\s)|(?<=[。！？；])")


def rows_of(path: Path) -> list[dict[str, str]]:
    """Rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def main() -> None:
    """Print, for right and for spoilt pairs, how many are kept and why others are not."""
    folder = Path(sys.argv[1])
    sources = {
        doc["doc_id"]: Source(n, "", "", (), doc["text"], prompts_for(doc["text"]))
        for n, doc in enumerate(rows_of(folder / "docs.jsonl"), 1)
    }
    index = TextIndex()
    index.add((source.number, source.whole, "") for source in sources.values())
    rows = rows_of(folder / "test.jsonl")
    found: dict[str, Counter[str]] = {}
    random = Random(0)
    for row in rows:
        source = sources[row["doc_id"]]
        other = random.choice([one for one in rows if one["doc_id"] != row["doc_id"]])
        sentences = _SENTENCE_END.split(source.text)
        support = next((one for one in sentences if row["answer"] in one), source.text)
        pair = Pair(QuestionType.FACT, row["question"], row["answer"], support)
        spoilt = {
            "as people wrote them": pair,
            "answer of another text": Pair(pair.type, pair.question, other["answer"], support),
            "question of another text": Pair(pair.type, other["question"], pair.answer, support),
            "support of another text": Pair(
                pair.type, pair.question, pair.answer, sources[other["doc_id"]].text[:100]
            ),
        }
        if said := sorted(numbers(pair.answer)):
            changed = pair.answer.replace(said[0], f"{said[0]}7")
            if changed != pair.answer:
                spoilt["a number changed"] = Pair(pair.type, pair.question, changed, support)
        for name, one in spoilt.items():
            fault: Fault | None = check(one, source, index, CheckSpec()).fault
            found.setdefault(name, Counter())[fault.value if fault else "kept"] += 1
    for name, counts in found.items():
        told = ", ".join(f"{what} {n}" for what, n in counts.most_common())
        print(f"{name}: {counts['kept']} of {counts.total()} kept ({told})")


if __name__ == "__main__":
    main()
