"""Operators that reword: synonyms, typing mistakes, chat style."""

import re
from functools import cached_property
from random import Random

from pretune.data.augment.edits import Edit
from pretune.data.augment.operator import WORDS, Rewording, word_sets
from pretune.data.probes import mostly_han

_LETTER = re.compile(r"[a-z]")
_LONG_WORD = re.compile(r"[^\W\d_]{4,}")


class Synonym(Rewording):
    """Words for other words of the same meaning."""

    name = "synonym"
    changes = "one word in eight, and one at least, for another of the same meaning"
    not_for = (
        "answers that quote the exact wording, beyond the quoted words themselves",
        "labels that hang on the choice of a word: register, style, dialect, authorship",
        "texts in which a term is defined: contracts, standards, law",
    )

    @cached_property
    def _sets(self) -> dict[str, tuple[str, ...]]:
        path = WORDS / "synonyms.txt"
        return {
            word: tuple(other for other in words if other != word)
            for section in ("en", "zh")
            for words in word_sets(path, section)
            for word in words
        }

    @cached_property
    def _known(self) -> re.Pattern[str]:
        return _any_of(self._sets)

    def edits(self, text: str, rng: Random) -> list[Edit]:
        """Known words in a random order, each for another of its set."""
        found = [
            Edit(*match.span(), _cased(rng.choice(self._sets[match[0].lower()]), match[0]))
            for match in self._known.finditer(text)
        ]
        rng.shuffle(found)
        return found

    def most(self, text: str) -> int:
        """One of eight words; a Chinese word counts two characters."""
        return max(1, (len(text) // 2 if mostly_han([text]) else len(text.split())) // 8)


class Typo(Rewording):
    """Typing mistakes."""

    name = "typo"
    changes = (
        "one letter in thirty, and one at least: a neighbour's key, swapped, left out, doubled"
    )
    not_for = (
        "tasks that judge or mend spelling",
        "answers that repeat a text word for word, such as extraction by copying whole sentences",
        "names and codes to be found that are not annotated; numbers are left alone",
    )

    @cached_property
    def _keys(self) -> dict[str, str]:
        path = WORDS / "typos.txt"
        sets = [*word_sets(path, "en"), *word_sets(path, "zh")]
        return {words[0]: words[1] for words in sets}

    def edits(self, text: str, rng: Random) -> list[Edit]:
        """One mistake in each long word or at each known Chinese character, in a random order."""
        found = [
            Edit(i, i + 1, rng.choice(self._keys[c]))
            for i, c in enumerate(text)
            if c in self._keys and not c.isascii()
        ]
        for match in _LONG_WORD.finditer(text):
            if match[0].isascii():
                found.append(
                    self._mistake(text, rng.randrange(match.start(), match.end() - 1), rng)
                )
        rng.shuffle(found)
        return found

    def _mistake(self, text: str, place: int, rng: Random) -> Edit:
        letter, following = text[place], text[place + 1]
        kinds = [
            Edit(place, place + 1, ""),
            Edit(place, place + 1, letter * 2),
            Edit(place, place + 2, following + letter),
        ]
        if _LETTER.match(letter):
            kinds.append(Edit(place, place + 1, rng.choice(self._keys[letter])))
        return rng.choice(kinds)

    def most(self, text: str) -> int:
        """One of thirty letters."""
        return max(1, len(text) // 30)


class Colloquial(Rewording):
    """Chat style: contractions, particles, an opening, no full stop."""

    name = "colloquial"
    changes = "short forms, an opening or a particle, no full stop"
    not_for = (
        "labels that hang on politeness, register or how annoyed a text sounds",
        "texts that are not written by people to people: reports, contracts, logs",
    )

    @cached_property
    def _forms(self) -> dict[str, str]:
        path = WORDS / "colloquial.txt"
        sets = [*word_sets(path, "en"), *word_sets(path, "zh")]
        return {said.lower(): short for said, short in sets}

    @cached_property
    def _known(self) -> re.Pattern[str]:
        return _any_of(self._forms)

    @cached_property
    def _around(self) -> dict[str, list[str]]:
        path = WORDS / "colloquial.txt"
        sections = ("en.open", "zh.open", "zh.close")
        return {name: [words[0] for words in word_sets(path, name)] for name in sections}

    def edits(self, text: str, rng: Random) -> list[Edit]:
        """The end first, then the beginning, then short forms in a random order."""
        chinese = mostly_han([text])
        found: list[Edit] = []
        end = len(text.rstrip())
        stop = end - 1 if text[end - 1 : end] in (".", "。") else end
        closes = chinese and text[end - 1 : end] not in ("?", "？", "!", "！")
        particle = rng.choice(["", *self._around["zh.close"]]) if closes else ""
        if stop < end or particle:
            found.append(Edit(stop, end, particle))
        if rng.random() < 0.6:
            opening = rng.choice(self._around["zh.open" if chinese else "en.open"])
            found.append(Edit(0, 0, opening if chinese else f"{opening} "))
        short = [
            Edit(*match.span(), _cased(self._forms[match[0].lower()], match[0]))
            for match in self._known.finditer(text)
        ]
        rng.shuffle(short)
        return found + short

    def most(self, text: str) -> int:
        """Up to four."""
        return 4


def _any_of(
    words: dict[str, object] | dict[str, str] | dict[str, tuple[str, ...]],
) -> re.Pattern[str]:
    """Any of ``words``, the longest first; those of letters as whole words."""
    ordered = sorted(words, key=lambda word: (-len(word), word))
    parts = [rf"\b{re.escape(word)}\b" if word.isascii() else re.escape(word) for word in ordered]
    return re.compile("|".join(parts), re.IGNORECASE)


def _cased(new: str, like: str) -> str:
    """``new`` with a capital where ``like`` has one."""
    return new[:1].upper() + new[1:] if like[:1].isupper() else new
