"""Words of a text in any script: what search, similarity and grounding compare."""

import re
import unicodedata
from collections import Counter

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_HAN}]+|[^\W_{_HAN}]+(?:['’][^\W_{_HAN}]+)*")
_OWNER = re.compile(r"['’]s$")
_IS_HAN = re.compile(rf"[{_HAN}]")
_NUMBER = re.compile(r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")


def folded(text: str) -> str:
    """``text`` without what does not change its meaning: width, case, runs of space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def terms(text: str) -> list[str]:
    """Words of ``text``, folded, without an owner's 's; of Chinese, which has no spaces, every two
    neighbours.

    >>> terms("The ２ fees 年费率")
    ['the', '2', 'fees', '年费', '费率']
    """
    found: list[str] = []
    for word in _WORD.findall(folded(text)):
        if len(word) > 1 and _IS_HAN.match(word):
            found += [word[i : i + 2] for i in range(len(word) - 1)]
        else:
            found.append(_OWNER.sub("", word))
    return found


def numbers(text: str) -> set[str]:
    """Numbers of ``text`` in one form.

    >>> sorted(numbers("1,200.50 or １２００.5 of 2024"))
    ['1200.5', '2024']
    """
    found = set()
    for part in _NUMBER.findall(folded(text)):
        whole, _, rest = part.replace(",", "").partition(".")
        whole, rest = whole.lstrip("0") or "0", rest.rstrip("0")
        found.add(f"{whole}.{rest}" if rest else whole)
    return found


_NAME = re.compile(rf"[^\W\d_{_HAN}](?:[&.'’-]*[^\W{_HAN}])*")
_TITLE = re.compile(r"《([^》]+)》")
_STARTS = re.compile(r"(?:^|[.!?:。！？：\n])[\s\-*\"“(]*$")


def names(text: str) -> set[str]:
    """What looks like a name: words with a capital that begin no sentence, words with several,
    and Chinese titles.

    >>> sorted(names("The fee of Gold Card is set by the PBoC. It rose. 见《银行法》"))
    ['Card', 'Gold', 'PBoC', '银行法']
    """
    found = set(_TITLE.findall(text))
    for match in _NAME.finditer(text):
        word = _OWNER.sub("", match[0])
        capitals = sum(map(str.isupper, word))
        first = _STARTS.search(text[max(0, match.start() - 8) : match.start()])
        if capitals > 1 or (word[:1].isupper() and not first and len(word) > 1):
            found.add(word)
    return found


def squeezed(text: str) -> str:
    """Letters and digits of ``text`` alone, folded: what is left when layout is not."""
    return "".join(filter(str.isalnum, folded(text)))


def overlap(one: str, other: str) -> float:
    """Share of their different words that two texts have in common (Jaccard), 0 to 1."""
    a, b = set(terms(one)), set(terms(other))
    return len(a & b) / len(a | b) if a | b else 1.0


def agreement(one: str, other: str) -> float:
    """F1 of the words of two texts, 0 to 1."""
    a, b = Counter(terms(one)), Counter(terms(other))
    common = (a & b).total()
    return 2 * common / (a.total() + b.total()) if common else 0.0


def scripts(text: str) -> dict[str, float]:
    """Share of each script among the letters of ``text``, by Unicode name (``LATIN``, ``CJK``),
    largest first. A Chinese character counts twice: it says as much as several letters."""
    counted: Counter[str] = Counter()
    for letter in filter(str.isalpha, text):
        name = unicodedata.name(letter, "").partition(" ")[0]
        counted[name] += 2 if name == "CJK" else 1
    total = counted.total()
    return {name: count / total for name, count in counted.most_common()}
