"""Whether a text is in another language than the one that it belongs to."""

from functools import cache

from pretune.data.terms import scripts, terms

_SPOKEN = 0.1
"""Share of its letters that a text must have in the script of one that belongs to it."""

_WORDS = 5
"""Words of a text from which it is told whether they are English."""


def other_script(new: str, old: str) -> str | None:
    """The script of most of ``new`` in words, where ``old`` has next to none of it."""
    used = next(iter(scripts(new)), None)
    return f"{used.title()} letters" if used and scripts(old).get(used, 0) < _SPOKEN else None


def foreign(new: str, old: str) -> str | None:
    """What shows that ``new`` is in another language than ``old``; ``None`` where nothing does.

    Told by script, and where ``old`` is English by its commonest words; other languages of one
    script look alike to it.
    """
    if shown := other_script(new, old):
        return shown
    said, meant = english(new, _WORDS), english(old, 1)
    if said is not None and meant is not None and said < meant / 4:
        return "few of the commonest English words"
    return None


def english(text: str, least: int) -> float | None:
    """Share of the commonest English words among those of ``text``; ``None`` if it has fewer words
    than ``least``, too few to tell."""
    words = terms(text)
    if len(words) < least:
        return None
    return sum(word in _common_english() for word in words) / len(words)


@cache
def _common_english() -> frozenset[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(ENGLISH_STOP_WORDS)
