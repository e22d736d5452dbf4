"""Entities in a text: names that are known, and amounts, dates and accounts by their form."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from random import Random

from pretune.data.augment.edits import Span
from pretune.data.augment.operator import WORDS
from pretune.data.rules.words import read_words


class Entity(StrEnum):
    """What may be put in the place of another of its type."""

    PERSON = "person"
    COMPANY = "company"
    AMOUNT = "amount"
    DATE = "date"
    ACCOUNT = "account"
    PRODUCT = "product"
    PLACE = "place"


_ANNOTATED = {
    "per": Entity.PERSON, "person": Entity.PERSON, "name": Entity.PERSON, "payee": Entity.PERSON,
    "org": Entity.COMPANY, "company": Entity.COMPANY, "organization": Entity.COMPANY,
    "loc": Entity.PLACE, "gpe": Entity.PLACE, "place": Entity.PLACE, "location": Entity.PLACE,
    "product": Entity.PRODUCT, "amount": Entity.AMOUNT, "money": Entity.AMOUNT,
    "date": Entity.DATE, "account": Entity.ACCOUNT,
}  # fmt: skip
"""Types as annotations call them, in lower case."""

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_MONTH = "|".join([*_MONTHS, *(month[:3] for month in _MONTHS)])
_NUMBER = r"(?<!\d)\d+(?:,\d{3}){0,12}(?:\.\d+)?"
"""Begins where no digit stands before and has so many groups: long runs cost no square of time."""

_FORMS: Mapping[Entity, re.Pattern[str]] = {
    Entity.DATE: re.compile(
        rf"\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}} (?:{_MONTH})\b(?: \d{{4}})?"
        rf"|\b(?:{_MONTH}) \d{{1,2}}\b(?:,? \d{{4}})?"
        r"|(?:\d{4}年)?\d{1,2}月\d{1,2}[日号]"
    ),
    Entity.AMOUNT: re.compile(
        rf"[$£€¥￥]\s?{_NUMBER}(?:\s?(?:million|billion|m|bn)\b)?"
        rf"|\b(?:USD|EUR|GBP|CHF|CNY|RMB)\s?{_NUMBER}"
        rf"|{_NUMBER}\s?(?:million |billion )?(?:USD|EUR|GBP|CHF|CNY|RMB|dollars|euros|pounds)\b"
        rf"|(?:人民币)?{_NUMBER}(?:万|亿)?(?:元|美元|欧元|块)"
    ),
    Entity.ACCOUNT: re.compile(r"(?<![A-Za-z0-9_.,-])\d(?:[ -]?\d){5,23}(?![A-Za-z0-9_]|[.,-]\d)"),
}
_NO_NAME = "的了在是我你他她请找问让给和与对从上下来去把被将这那有到不"
"""Characters that follow a character which is a surname elsewhere: 马上, 高的."""

_HAN = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True)
class Names:
    """Names by language and type, such as ``en.place``; ``known`` finds them in a text."""

    lists: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, own: Path | None = None) -> "Names":
        """The package's names; sections of the word file ``own`` take the place of its."""
        found = dict(read_words(WORDS / "names.txt"))
        if own is not None:
            found |= read_words(own)
        return cls({name: tuple(e.text for e in entries) for name, entries in found.items()})

    def draw(self, kind: Entity, chinese: bool, rng: Random) -> str | None:
        """A name of ``kind``; ``None`` where there is no list of it."""
        language = "zh" if chinese else "en"
        key = f"{language}.{kind}"
        if key in self.lists:
            return rng.choice(self.lists[key])
        if f"{key}.first" not in self.lists:
            return None
        first, last = (rng.choice(self.lists[f"{key}.{part}"]) for part in ("first", "last"))
        return last + first if chinese else f"{first} {last}"

    @cached_property
    def known(self) -> list[tuple[Entity, re.Pattern[str]]]:
        """Patterns of what these lists hold."""
        found = []
        for kind in (Entity.COMPANY, Entity.PRODUCT, Entity.PLACE):
            names = [n for lang in ("en", "zh") for n in self.lists.get(f"{lang}.{kind}", ())]
            ordered = sorted(names, key=lambda name: (-len(name), name))
            parts = [rf"\b{re.escape(n)}\b" if n.isascii() else re.escape(n) for n in ordered]
            if parts:
                found.append((kind, re.compile("|".join(parts))))
        firsts = "|".join(map(re.escape, self.lists.get("en.person.first", ())))
        surnames = "|".join(map(re.escape, self.lists.get("zh.person.last", ())))
        if firsts:
            found.append((Entity.PERSON, re.compile(rf"\b(?:{firsts}) [A-Z][a-z]+\b")))
        if surnames:
            titles = "先生|女士|经理|主管|老师"
            person = rf"(?:{surnames})(?:(?![{_NO_NAME}])[\u3400-\u9fff]){{1,2}}(?={titles})"
            found.append((Entity.PERSON, re.compile(person)))
        return found


def annotated(name: str) -> Entity | None:
    """The type that an annotation of this name means, if it is one of ours."""
    return _ANNOTATED.get(name.lower())


def found_in(text: str, names: Names) -> list[tuple[Entity, Span]]:
    """Entities of ``text`` by form and by list, in order; none overlaps another.

    Dates come before amounts, amounts before accounts, all of them before names.
    """
    found: list[tuple[Entity, Span]] = []
    taken = bytearray(len(text))  # a flag a character
    for kind, pattern in (*_FORMS.items(), *names.known):
        for match in pattern.finditer(text):
            start, end = match.span()
            if not any(taken[start:end]):
                taken[start:end] = b"\1" * (end - start)
                found.append((kind, Span(start, end)))
    return sorted(found, key=lambda one: one[1])


def another(kind: Entity, text: str, names: Names, rng: Random) -> str | None:
    """Something else of ``kind``, in the form of ``text``; ``None`` where none is known."""
    if kind is Entity.AMOUNT:
        return re.sub(_NUMBER, lambda number: _number(number[0], rng), text, count=1)
    if kind is Entity.DATE:
        return _date(text, rng)
    if kind is Entity.ACCOUNT:
        return re.sub(r"\d", lambda _: str(rng.randrange(10)), text)
    return names.draw(kind, bool(_HAN.search(text)), rng)


def _number(text: str, rng: Random) -> str:
    """A number between half and twice ``text``, with as many decimals and with commas if it has."""
    plain = text.replace(",", "")
    decimals = len(plain.partition(".")[2])
    value = float(plain) * rng.uniform(0.5, 2.0)
    number = f"{value:,.{decimals}f}" if "," in text else f"{value:.{decimals}f}"
    return number if float(number.replace(",", "")) else text


def _date(text: str, rng: Random) -> str:
    """The form of ``text`` with another day and month; the year stays."""
    month, day = rng.randint(1, 12), rng.randint(1, 28)
    if iso := re.fullmatch(r"(\d{4}-)\d{2}-\d{2}", text):
        return f"{iso[1]}{month:02}-{day:02}"
    if chinese := re.fullmatch(r"(\d{4}年)?\d{1,2}月\d{1,2}([日号])", text):
        return f"{chinese[1] or ''}{month}月{day}{chinese[2]}"
    name = _MONTHS[month - 1]
    said = re.sub(_MONTH, lambda old: name if len(old[0]) > 3 else name[:3], text, count=1)
    return re.sub(r"(?<!\d)\d{1,2}(?!\d)", str(day), said, count=1)
