"""Sentences that stand in many rows: greetings, disclaimers, signatures."""

import re
from collections.abc import Iterator

from pretune.data.clean.minhash import fold

_END = re.compile(r"(?<=[.!?;。！？；])\s*|\n+")
_SHORTEST, _SHORTEST_HAN = 16, 6
_HAN = re.compile(r"[\u3400-\u9fff]")
_KEPT = 20_000


def sentences(text: str) -> Iterator[str]:
    """The sentences and lines of ``text``, folded, those left out that are too short to tell."""
    for sentence in _END.split(text):
        folded = fold(sentence)
        if len(folded) >= (_SHORTEST_HAN if _HAN.search(folded) else _SHORTEST):
            yield folded


class Repeated:
    """Counts sentences in bounded memory (Misra and Gries 1982): of N sentences, one that comes
    more than N / 20,000 times is kept, counted too low by that much at most."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._rows = 0

    def add(self, text: str) -> None:
        """Count the sentences of a row, each once."""
        self._rows += 1
        for sentence in set(sentences(text)):
            if sentence in self._counts or len(self._counts) < _KEPT:
                self._counts[sentence] = self._counts.get(sentence, 0) + 1
            else:
                self._counts = {s: n - 1 for s, n in self._counts.items() if n > 1}

    def common(self, share: float, least: int) -> dict[str, int]:
        """Sentences of ``share`` of the rows and of ``least`` rows or more, the commonest first."""
        enough = max(least, share * self._rows)
        found = [(n, s) for s, n in self._counts.items() if n >= enough]
        return {s: n for n, s in sorted(found, key=lambda one: (-one[0], one[1]))}
