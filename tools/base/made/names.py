"""Invented people, places and organisations, English and Chinese."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from made.words import sections


def pick(rng: random.Random, kind: str) -> str:
    """A part of a name, from `words/names.txt`."""
    return rng.choice(sections("names")[kind])


def person(rng: random.Random) -> str:
    """A full English name."""
    return f"{pick(rng, 'given')} {pick(rng, 'family')}"


def place_name(rng: random.Random) -> str:
    """A city, region or country."""
    return pick(rng, "place")


def company(rng: random.Random) -> str:
    """An invented organisation."""
    return f"{pick(rng, 'company_first')} {pick(rng, 'company_last')}"


def person_zh(rng: random.Random) -> str:
    """A Chinese name of two or three characters."""
    given = "".join(pick(rng, "given_zh") for _ in range(rng.choice([1, 2, 2])))
    return pick(rng, "family_zh") + given


def place_zh(rng: random.Random) -> str:
    """A place, in Chinese."""
    return pick(rng, "place_zh")


def company_zh(rng: random.Random) -> str:
    """An invented Chinese organisation."""
    return pick(rng, "company_first_zh") + pick(rng, "company_zh")


def house(rng: random.Random) -> str:
    """The invented name of a restaurant or hotel."""
    name = f"{pick(rng, 'house_first')} {pick(rng, 'house_second')}"
    return rng.choice([f"The {name}", name, f"{pick(rng, 'family')}'s"])


@dataclass(frozen=True)
class Naming:
    """The three makers of names of one language."""

    person: Callable[[random.Random], str]
    place: Callable[[random.Random], str]
    company: Callable[[random.Random], str]

    def slots(self, rng: random.Random) -> dict[str, str]:
        """Values for the slots p, p2 (people), l, l2 (places), o, o2 (organisations)."""
        makers = {"p": self.person, "l": self.place, "o": self.company}
        return {name + suffix: make(rng) for name, make in makers.items() for suffix in ("", "2")}


ENGLISH = Naming(person, place_name, company)
CHINESE = Naming(person_zh, place_zh, company_zh)
