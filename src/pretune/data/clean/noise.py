"""Labels that a cross-validated model doubts (confident learning: Northcutt et al. 2021, arXiv
1911.00068)."""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pretune.data.probes import held_out_probabilities

_FOLDS = 5


class Doubts(NamedTuple):
    """By row: ``margin``, the probability of the likeliest other label less that of the given one,
    -1 to 1; and whether the row is a ``candidate`` for a wrong label."""

    margin: NDArray[np.float64]
    candidate: NDArray[np.bool_]


def doubts(texts: Sequence[str], labels: Sequence[str], seed: int = 0) -> Doubts:
    """How much a model that never saw a row doubts its label.

    A row is a candidate where another label is likelier than its own and no less likely than it
    is, on average, for rows that carry it (the paper's thresholds).
    """
    found, known = held_out_probabilities(texts, labels, _spread(labels, seed), longest=2)
    columns = {label: i for i, label in enumerate(known)}
    given = np.asarray([columns[label] for label in labels])
    rows = np.arange(len(labels))
    own = found[rows, given]
    usual = np.asarray([own[given == column].mean() for column in range(len(known))])
    found[rows, given] = -np.inf
    confident = np.where(found >= usual, found, -np.inf).max(axis=1)
    return Doubts(found.max(axis=1) - own, confident > own)


def _spread(labels: Sequence[str], seed: int) -> NDArray[np.int64]:
    """A fold for each row, such that each label is spread evenly over them."""
    rng = Random(seed)
    by_label: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        by_label.setdefault(label, []).append(row)
    folds = np.zeros(len(labels), np.int64)
    turn = 0
    for rows in by_label.values():
        rng.shuffle(rows)
        for row in rows:
            folds[row] = turn % _FOLDS
            turn += 1
    return folds
