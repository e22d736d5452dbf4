"""The words that recognisers of names know, from the files of ``words/``."""

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "words"


@cache
def words(name: str) -> frozenset[str]:
    """The words of ``words/<name>.txt``."""
    return frozenset((_FOLDER / f"{name}.txt").read_text("utf-8").split())


@cache
def characters(name: str) -> frozenset[str]:
    """The characters of ``words/<name>.txt``."""
    return frozenset("".join(words(name)))
