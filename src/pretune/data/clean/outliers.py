"""Rows unlike the others: in length, in script, in words."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pretune.data.probes import bag_of_words

FAR = 5.0
"""Robust standard deviations from the median beyond which a value is an outlier."""

_SCRIPTS = {
    "Latin": r"[A-Za-z\u00c0-\u024f]",
    "Han": r"[\u3400-\u9fff]",
    "Kana": r"[\u3040-\u30ff]",
    "Hangul": r"[\uac00-\ud7af]",
    "Cyrillic": r"[\u0400-\u052f]",
    "Greek": r"[\u0370-\u03ff]",
    "Arabic": r"[\u0600-\u06ff]",
    "Hebrew": r"[\u0590-\u05ff]",
    "Devanagari": r"[\u0900-\u097f]",
    "Thai": r"[\u0e00-\u0e7f]",
}
_PATTERNS = {name: re.compile(pattern) for name, pattern in _SCRIPTS.items()}
NO_SCRIPT = "none"
SCRIPTS = (*_SCRIPTS, NO_SCRIPT)


def script_of(text: str) -> str:
    """The script of most letters of ``text``; a language in so far as it has a script of its own.

    A Chinese character counts double: it says more than a letter. Japanese is told by its kana.
    """
    counts = {name: len(pattern.findall(text)) for name, pattern in _PATTERNS.items()}
    counts["Han"] *= 2
    if counts["Kana"]:
        counts["Kana"] += counts.pop("Han")
    name = max(counts, key=lambda one: counts[one])
    return name if counts[name] else NO_SCRIPT


def far_off(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each value from the median in robust standard deviations (of the median absolute
    deviation); zeros where most values are equal."""
    centre = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - centre))
    if not spread:
        return np.zeros(len(values))
    distances: NDArray[np.float64] = (values - centre) / spread
    return distances


def likeness(texts: Sequence[str], labels: Sequence[str]) -> NDArray[np.float64]:
    """How much the words of each text are those of the others with its label: the cosine to their
    mean, itself left out; 0 to 1. A label of one row has 0."""
    inputs = bag_of_words(texts).fit_transform(texts)
    found = np.zeros(len(texts))
    given = np.asarray(labels, dtype=object)
    for label in set(labels):
        rows = np.flatnonzero(given == label)
        part = inputs[rows]
        total = np.asarray(part.sum(axis=0)).ravel()
        own = np.asarray(part.multiply(part).sum(axis=1)).ravel()
        # cosine(x, total - x) from x.total, x.x and total.total alone
        dots = part @ total
        length = np.sqrt(np.maximum(total @ total - 2 * dots + own, 1e-12) * np.maximum(own, 1e-12))
        found[rows] = (dots - own) / length
    return np.clip(found, 0.0, 1.0)
