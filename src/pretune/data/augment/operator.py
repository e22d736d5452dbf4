"""What an operator is: a way to say a row otherwise, and what that may not be used for."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from pretune.data.augment.edits import Edit, Span
from pretune.data.augment.varied import Varied
from pretune.data.rules.words import read_words

WORDS = Path(__file__).parent / "words"


class Operator(ABC):
    """Deterministic in the row and the generator that it is given."""

    name: ClassVar[str]
    changes: ClassVar[str]
    """What it does, for people."""
    not_for: ClassVar[tuple[str, ...]]
    """Tasks on which it would make wrong rows."""

    @abstractmethod
    def vary(self, row: Varied, rng: Random) -> Mapping[str, Any] | None:
        """The fields of a variant; ``None`` where there is nothing to change."""


class Rewording(Operator):
    """An operator that changes each text of the user's by itself and leaves alone what must stay:
    numbers, annotations, and words that a free answer takes from the text."""

    @abstractmethod
    def edits(self, text: str, rng: Random) -> list[Edit]:
        """Changes of ``text``, most wanted first; those that touch what must stay are left out."""

    @abstractmethod
    def most(self, text: str) -> int:
        """How many of them are made."""

    def vary(self, row: Varied, rng: Random) -> Mapping[str, Any] | None:
        """Reword what the user says; a context stays as it is."""
        made: dict[str, list[Edit]] = {}
        for column, text in row.texts.items():
            if column not in row.columns.said:
                continue
            kept = row.kept(column)
            taken: list[Edit] = []
            for edit in self.edits(text, rng):
                clash = [Span(one.start, max(one.end, one.start + 1)) for one in taken]
                if len(taken) < self.most(text) and not any(
                    span.touches(edit.start, max(edit.end, edit.start + 1))
                    for span in (*kept, *clash)
                ):
                    taken.append(edit)
            if taken:
                made[column] = taken
        return row.reworded(made) if made else None


def word_sets(path: Path, section: str) -> list[tuple[str, ...]]:
    """Lines of a section of a word file, each as the words between its ``/``."""
    lines = (entry.text for entry in read_words(path)[section])
    return [tuple(word.strip() for word in line.split("/")) for line in lines]
