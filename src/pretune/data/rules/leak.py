"""Surface cues: whether words alone tell the answer of rows that rules made."""

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from pretune.data.probes import held_out_probabilities, mostly_han

SOLVED = 0.95
"""Accuracy on unseen phrasings from which words alone are said to solve the task."""

_FOLDS = 5
_MOST_ANSWERS = 100
_COMMON, _PURE = 0.25, 0.99
"""A cue stands in so large a share of an answer's rows, and so purely in its rows alone."""


@dataclass(frozen=True, slots=True)
class Cue:
    """A word that stands in ``share`` of the rows of ``answer`` and in (almost) no others."""

    word: str
    answer: str
    share: float


@dataclass(frozen=True, slots=True)
class Probe:
    """What words alone reach: accuracy on phrasings that the probe never saw, beside the share of
    the most common answer. ``skipped`` says why there is no such number."""

    accuracy: float | None
    majority: float
    cues: tuple[Cue, ...]
    skipped: str | None = None

    @property
    def solves(self) -> bool:
        """Whether words alone solve the task."""
        return self.accuracy is not None and self.accuracy >= max(SOLVED, self.majority + 0.02)


def probe(texts: Sequence[str], answers: Sequence[str], phrasings: Sequence[Hashable]) -> Probe:
    """Cross-validate a linear model on single words (of Chinese: characters); rows of one phrasing
    are never on both sides."""
    counts = Counter(answers)
    majority = max(counts.values()) / len(answers)
    if not any(text.strip() for text in texts):
        return Probe(None, majority, (), "the rows hold no text beside the answer")
    if not 2 <= len(counts) <= min(_MOST_ANSWERS, len(answers) // 5):
        return Probe(None, majority, (), f"{len(counts)} different answers: no closed set")
    cues = tuple(_cues(texts, answers))
    groups = {phrasing: n % _FOLDS for n, phrasing in enumerate(sorted(set(phrasings), key=repr))}
    if len(groups) < 2 * _FOLDS:
        return Probe(
            None, majority, cues, f"{len(groups)} phrasings are too few to keep some unseen"
        )
    folds = np.asarray([groups[phrasing] for phrasing in phrasings])
    found, known = held_out_probabilities(texts, answers, folds)
    right = [known[best] == answer for best, answer in zip(found.argmax(1), answers, strict=True)]
    return Probe(float(np.mean(right)), majority, cues)


def _cues(texts: Sequence[str], answers: Sequence[str]) -> list[Cue]:
    chinese = mostly_han(texts)
    total, rows = Counter(answers), defaultdict[str, Counter[str]](Counter)
    for text, answer in zip(texts, answers, strict=True):
        words = set(text) if chinese else set(re.findall(r"\w+", text.lower()))
        for word in words:
            if word.strip() and word.isalnum():
                rows[word][answer] += 1
    found = []
    for word, by_answer in rows.items():
        answer, count = by_answer.most_common(1)[0]
        if count >= _COMMON * total[answer] and count >= _PURE * by_answer.total():
            found.append(Cue(word, answer, count / total[answer]))
    return sorted(found, key=lambda cue: (-cue.share, cue.word))[:20]
