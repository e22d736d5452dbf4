"""Reviews in Chinese from a grammar of opinions."""

from __future__ import annotations

import random

from made.exercise import Exercise, asked, repeats, with_labels
from made.grammar import NEUTRAL, OPPOSITE, draw_poles, fill
from made.words import columns, phrases, sections

DOMAINS = ["hotel", "hotel", "food", "film", "software", "product", "service"]
POLES = "+-="


def pick(rng: random.Random, section: str) -> str:
    """A word of a section of the opinion list."""
    return rng.choice(sections("opinion_zh")[section])


def very(rng: random.Random, pole: str) -> str:
    """An adjective, a short one with a degree word."""
    word = pick(rng, f"adj{pole}")
    if len(word) <= 2 and word[0] not in "很不太极":
        return pick(rng, rng.choice(["degree+", "degree+", "degree-"])) + word
    return word


class Clause:
    """Fills the slots of one clause pattern; see `words/clauses_zh.txt`."""

    def __init__(self, rng: random.Random, pole: str, domain: str) -> None:
        self.rng, self.pole, self.domain = rng, pole, domain

    def value(self, slot: str) -> str:
        """What stands for one slot."""
        pole = OPPOSITE[self.pole] if slot.startswith("!") else self.pole
        name = slot.lstrip("!")
        if name in ("main", "side"):
            return Clause(self.rng, pole if name == "main" else OPPOSITE[pole], self.domain).text()
        if name == "very":
            return very(self.rng, pole)
        if name == "=adj":
            return pick(self.rng, "adj=")
        if name in ("adj", "reaction"):
            return pick(self.rng, f"{name}{pole}")
        return pick(self.rng, f"{self.domain}.{name.rstrip('2')}")

    def text(self, kind: str = "") -> str:
        """A clause with this polarity."""
        if self.pole == NEUTRAL:
            kind = "neutral"
        elif not kind:
            kind = "turned" if self.rng.random() < 0.15 else "said"
        return fill(self.rng.choice(phrases("clauses_zh")[kind]), self.value)


def review(rng: random.Random, pole: str, domain: str) -> str:
    """A review of one to four clauses."""
    values = Clause(rng, pole, domain)
    if rng.random() < 0.25:
        text = values.text("contrast")
    else:
        text = "，".join(values.text() for _ in range(rng.choice([1, 2, 2, 3, 4])))
    if rng.random() < 0.3:
        text += rng.choice(["。", "！"]) + pick(rng, f"reaction{pole}")
    return text + rng.choice(["。", "！", "", "~", "。。。"])


def label_reviews(rng: random.Random) -> Exercise:
    """Two- or three-way sentiment."""
    poles = rng.choice(["+-", "+-", POLES])
    words = dict(zip(POLES, rng.choice(columns("labels_sentiment_zh")), strict=True))
    instruction = with_labels(rng, asked(rng, "sentiment.zh"), [words[p] for p in poles], True)
    domain = rng.choice(DOMAINS)
    chosen = draw_poles(rng, poles, repeats(rng))
    return Exercise(instruction, [(review(rng, pole, domain), words[pole]) for pole in chosen])


def label_words(rng: random.Random) -> Exercise:
    """Polarity of single words."""
    words = dict(zip(POLES, rng.choice(columns("labels_sentiment_zh")), strict=True))
    chosen = draw_poles(rng, "+-", rng.choice([3, 5, 8]))
    return Exercise(
        asked(rng, "polarity.zh"), [(pick(rng, f"adj{pole}"), words[pole]) for pole in chosen]
    )


MAKERS = [(label_reviews, 6), (label_words, 1)]
