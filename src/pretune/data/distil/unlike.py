"""Keeps questions different: in a page, in a document, in the whole set."""

import json
from typing import NamedTuple

from pretune.data.terms import agreement, numbers, overlap, squeezed
from pretune.data.textindex import TextIndex

_COMPARED = 8
"""Earlier questions, the most similar by search, that a new one is compared with."""


class _Asked(NamedTuple):
    question: str
    answer: str
    support: str
    chunk: str


class Unlike:
    """Takes questions in order, and refuses one that was asked before in other words.

    Two questions are the same if they share most words and the same numbers, and have alike answers
    or one support; in one chunk also if answer and support are the same.
    """

    def __init__(self, index: TextIndex, same: float) -> None:
        self._index, self._same = index, same
        self._count = 0
        self._of_chunk: list[_Asked] = []

    def add(self, question: str, answer: str, support: str, chunk: str) -> bool:
        """Take a question in; whether it is new."""
        one = _Asked(question, answer, support, chunk)
        if self._of_chunk and self._of_chunk[0].chunk != chunk:
            self._of_chunk.clear()
        hits = self._index.search(question, _COMPARED)
        earlier = [_Asked(*json.loads(raw)) for _, raw in hits] + self._of_chunk
        if any(self._alike(one, other) for other in earlier):
            return False
        self._count += 1
        self._of_chunk.append(one)
        self._index.add([(self._count, question, json.dumps(one))])
        return True

    def _alike(self, one: _Asked, other: _Asked) -> bool:
        support = bool(one.support) and squeezed(one.support) == squeezed(other.support)
        answer = squeezed(one.answer) == squeezed(other.answer)
        if support and answer and one.chunk == other.chunk:
            return True
        # Without support all answers are the same, and tell nothing: then the words decide, and
        # "the gold card" and "the blue card" of two chunks are two questions.
        words = self._same if one.support or one.chunk == other.chunk else 1.0
        return (
            overlap(one.question, other.question) >= words
            and numbers(one.question) == numbers(other.question)
            and (support or agreement(one.answer, other.answer) >= self._same)
        )
