"""Linear models on surface features: what words alone tell about labels."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

_MOST_FEATURES = 50_000
"""The commonest runs of words are kept: a model has so many numbers for each label."""

_HAN = re.compile(r"[\u3400-\u9fff]")


def mostly_han(texts: Sequence[str]) -> bool:
    """Whether Chinese characters make up a fifth of ``texts`` or more."""
    total = sum(map(len, texts))
    return total > 0 and sum(len(_HAN.findall(text)) for text in texts) >= total / 5


def bag_of_words(texts: Sequence[str], longest: int = 1) -> "TfidfVectorizer":
    """An unfitted vectoriser of words and marks (of Chinese: characters) in runs of up to
    ``longest``."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    common = {"ngram_range": (1, longest), "sublinear_tf": True, "max_features": _MOST_FEATURES}
    if mostly_han(texts):
        return TfidfVectorizer(analyzer="char", **common)
    return TfidfVectorizer(token_pattern=r"\w+|[^\w\s]", **common)


def linear_probe() -> "LogisticRegression":
    """An unfitted logistic regression; light regularisation, for rows that are few and alike."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=10, max_iter=1000)


def held_out_probabilities(
    texts: Sequence[str],
    labels: Sequence[str],
    folds: NDArray[np.int64],
    longest: int = 1,
) -> tuple[NDArray[np.float64], list[str]]:
    """Probability of each label for each row by a model that never saw the row's fold.

    ``folds`` gives each row's fold. Returns shape (rows, labels), and the labels in order; a label
    that a fold's model never met has probability 0 there.
    """
    known = sorted(set(labels))
    columns = {label: i for i, label in enumerate(known)}
    found = np.zeros((len(texts), len(known)))
    given = np.asarray(labels, dtype=object)
    inputs: Any = bag_of_words(texts, longest).fit_transform(texts)
    for fold in np.unique(folds):
        held = folds == fold
        seen = sorted(set(given[~held]))
        if len(seen) < 2:
            found[held, columns[seen[0]]] = 1.0
            continue
        model = linear_probe().fit(inputs[~held], list(given[~held]))
        place = [columns[label] for label in model.classes_]
        found[np.ix_(held, place)] = model.predict_proba(inputs[held])
    return found, known
