"""Rows that stand twice: duplicates, contradictions, and leaks between splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pretune.core.digest import of_json
from pretune.core.records import Example
from pretune.data.rejected import Reason, Rejected, reject
from pretune.data.splits import Split


@dataclass(slots=True)
class Screened:
    """What is left of one split, what was taken out, and what was only counted."""

    kept: list[Example] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    repeated: int = 0
    """Kept rows that ask what an earlier row of the split asks."""


def screen(
    examples: Mapping[Split, Sequence[Example]], *, closed_answers: bool
) -> dict[Split, Screened]:
    """Take out of ``train`` what stands twice or would leak, and of ``validation`` what would leak.

    The test rows stay as they are, and so do repeats within validation: numbers measured on them
    must be those of the files. Of training rows that ask the same, the first stays. Later ones with
    the same answer are duplicates. Those with another answer contradict it where answers come from
    a closed set, and are one more right answer where they do not.
    """
    first: dict[str, tuple[Split, str]] = {}
    answers: set[tuple[str, str]] = set()
    screened = {split: Screened() for split in Split}
    for split in (Split.TEST, Split.VALIDATION, Split.TRAIN):
        result = screened[split]
        for example in examples[split]:
            prompt, answer = _parts(example)
            again = prompt in first
            home, row_id = first.setdefault(prompt, (split, example.row_id))
            if home is not split:
                detail = f"asks the same as {home} row {row_id}"
                result.rejected.append(reject(example, Reason.LEAK, detail))
                continue
            if split is Split.TRAIN and again:
                detail = f"asks the same as row {row_id}"
                if (prompt, answer) in answers:
                    result.rejected.append(reject(example, Reason.DUPLICATE, detail))
                    continue
                if closed_answers:
                    result.rejected.append(reject(example, Reason.CONTRADICTORY, detail))
                    continue
            if split is Split.TRAIN:
                answers.add((prompt, answer))
            result.repeated += again
            result.kept.append(example)
    return screened


def _parts(example: Example) -> tuple[str, str]:
    """Digests of the prompt and of the answer."""
    turns = [[turn.role, turn.text] for turn in example.turns]
    end = len(example.prompt)
    return of_json(turns[:end]), of_json(turns[end:])
