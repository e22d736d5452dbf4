"""Words of a text in any script: what search, similarity and grounding compare."""

import re
import unicodedata
from collections import Counter

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_HAN}]+|[^\W_{_HAN}]+(?:['’][^\W_{_HAN}]+)*")
_IS_HAN = re.compile(rf"[{_HAN}]")
_NUMBER = re.compile(r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")


def folded(text: str) -> str:
    """``text`` without what does not change its meaning: width, case, runs of space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def terms(text: str) -> list[str]:
    """Words of ``text``, folded; of Chinese, which has no spaces, every two neighbours.

    >>> terms("The ２ fees 年费率")
    ['the', '2', 'fees', '年费', '费率']
    """
    found: list[str] = []
    for word in _WORD.findall(folded(text)):
        if len(word) > 1 and _IS_HAN.match(word):
            found += [word[i : i + 2] for i in range(len(word) - 1)]
        else:
            found.append(word)
    return found


def numbers(text: str) -> set[str]:
    """Numbers of ``text`` in one form.

    >>> sorted(numbers("1,200.50 or １２００.5 of 2024"))
    ['1200.5', '2024']
    """
    found = (part.replace(",", "") for part in _NUMBER.findall(folded(text)))
    return {
        (part.rstrip("0").rstrip(".") if "." in part else part).lstrip("0") or "0" for part in found
    }


def overlap(one: str, other: str) -> float:
    """Share of their different words that two texts have in common (Jaccard), 0 to 1."""
    a, b = set(terms(one)), set(terms(other))
    return len(a & b) / len(a | b) if a | b else 1.0


def agreement(one: str, other: str) -> float:
    """F1 of the words of two texts, 0 to 1."""
    a, b = Counter(terms(one)), Counter(terms(other))
    common = (a & b).total()
    return 2 * common / (a.total() + b.total()) if common else 0.0


def script(text: str) -> str:
    """The script in which most letters of ``text`` are, by its Unicode name (``LATIN``, ``CJK``);
    empty without letters. A Chinese character counts twice: it says as much as several letters."""
    counted: Counter[str] = Counter()
    for letter in filter(str.isalpha, text):
        name = unicodedata.name(letter, "").partition(" ")[0]
        counted[name] += 2 if name == "CJK" else 1
    return max(counted, key=lambda name: (counted[name], name)) if counted else ""
