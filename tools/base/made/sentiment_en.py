"""Reviews in English from a grammar of opinions: negation, contrast, degree, fragments."""

from __future__ import annotations

import random
import re

from made.exercise import Exercise, article, asked, capital, repeats, with_labels
from made.grammar import (
    MIXED,
    NEGATIVE,
    NEUTRAL,
    OPPOSITE,
    POSITIVE,
    articles,
    draw_poles,
    fill,
)
from made.words import columns, phrases, sections

DOMAINS = ["film", "film", "film", "hotel", "food", "software", "product", "service", "book"]
ORDER = POSITIVE + NEGATIVE + NEUTRAL + MIXED
LETTERS = [dict(zip(ORDER, "1023", strict=True)), dict(zip(ORDER, "ABCD", strict=True))]


def vocabulary(rng: random.Random) -> dict[str, str]:
    """Label words by polarity."""
    return dict(zip(ORDER, rng.choice(columns("labels_sentiment")), strict=True))


def pick(rng: random.Random, section: str) -> str:
    """A word of a section of the opinion list."""
    return rng.choice(sections("opinion_en")[section])


def adjectives(rng: random.Random, pole: str) -> str:
    """One to three adjectives of one pole, as they stand before a noun or after `is`."""
    first, second, third = (pick(rng, f"adj{pole}") for _ in range(3))
    strong, weak = pick(rng, "degree+"), pick(rng, "degree-")
    joint = rng.choice([" and ", ", ", " yet ", " , "])
    return rng.choices(
        [first, f"{strong} {first}", f"{weak} {first}", f"{first}{joint}{second}",
         f"{first}, {second} and {third}"], [8, 4, 1, 6, 2]
    )[0]  # fmt: skip


class Clause:
    """Fills the slots of one clause pattern; see `words/clauses_en.txt`."""

    def __init__(self, rng: random.Random, pole: str, domain: str) -> None:
        self.rng, self.pole, self.domain = rng, pole, domain

    def value(self, slot: str) -> str:
        """What stands for one slot."""
        rng = self.rng
        pole = OPPOSITE[self.pole] if slot.startswith("!") else self.pole
        name = slot.lstrip("!")
        if name == "adjs":
            return adjectives(rng, pole)
        if name in ("adj", "noun", "quality", "verb", "reaction"):
            return pick(rng, f"{name}{pole}")
        if name == "=adj":
            return pick(rng, "adj=")
        if name == "deg":
            return pick(rng, "degree+")
        if name in ("theme", "place", "month", "relative"):
            return rng.choice(phrases("clauses_en")[name])
        return rng.choice(sections("domains_en")[f"{self.domain}.{name.rstrip('2')}"])

    def text(self) -> str:
        """A clause with this polarity."""
        patterns = phrases("clauses_en")
        if self.pole == NEUTRAL:
            known = patterns["neutral"]
        elif self.rng.random() < 0.2:
            known = patterns["turned"] + patterns[f"turned{self.pole}"]
        elif self.domain == "film" and self.rng.random() < 0.4:
            known = patterns["said.film"]
        else:
            known = patterns["said"]
        return articles(fill(self.rng.choice(known), self.value))


def clause(rng: random.Random, pole: str, domain: str) -> str:
    """A clause with the polarity `pole`."""
    return Clause(rng, pole, domain).text()


def contrast(rng: random.Random, pole: str, domain: str) -> str:
    """Two clauses of opposite polarity; the weight lies on `pole`."""
    values = Clause(rng, pole, domain)
    sides = {"main": pole, "side": OPPOSITE[pole]}

    def value(slot: str) -> str:
        return clause(rng, sides[slot], domain) if slot in sides else values.value(slot)

    return articles(fill(rng.choice(phrases("clauses_en")["contrast"]), value))


def review(rng: random.Random, pole: str, domain: str) -> str:
    """A review of one to three clauses with the polarity `pole`."""
    if pole == MIXED:
        joint = rng.choice([". ", ", and ", "; on the other hand, "])
        return joint.join(clause(rng, each, domain) for each in rng.sample("+-", 2))
    style = rng.random()
    if pole != NEUTRAL and style < 0.2:
        return contrast(rng, pole, domain)
    if style < 0.6:
        return clause(rng, pole, domain)
    joint = rng.choice([". ", ", and ", ", ", "; ", " -- ", "! "])
    rest = [
        clause(rng, rng.choice([pole, pole, NEUTRAL]), domain) for _ in range(rng.choice([1, 1, 2]))
    ]
    return joint.join([clause(rng, pole, domain), *rest])


def surface(rng: random.Random, text: str) -> str:
    """Vary case and punctuation: as people write, or lower case with spaced punctuation."""
    if rng.random() < 0.4:
        spaced = re.sub(r"\s*([,.;!?])", r" \1", text.lower())
        return re.sub(r"(n't|'s)\b", r" \1", spaced) + rng.choice(["", "", " ."])
    text = re.sub(r"\s+([,.;!?])", r"\1", text)
    text = re.sub(r"([.!?] )(\w)", lambda found: found[1] + found[2].upper(), text)
    return capital(text) + rng.choice([".", ".", ".", "!", ""])


def label_reviews(rng: random.Random) -> Exercise:
    """Two-, three- or four-way sentiment."""
    poles = rng.choice(["+-", "+-", "+-", "+-=", "+-=~"])
    words = vocabulary(rng)
    instruction = with_labels(
        rng, asked(rng, "sentiment.en"), [words[pole] for pole in poles], False
    )
    if rng.random() < 0.1:
        letters = rng.choice(LETTERS)
        meaning = ", ".join(f"{letters[pole]} = {words[pole]}" for pole in poles)
        instruction, words = f"{asked(rng, 'sentiment.en')} {meaning}.", letters
    domain = rng.choice(DOMAINS)
    chosen = draw_poles(rng, poles, repeats(rng))
    return Exercise(
        instruction, [(surface(rng, review(rng, pole, domain)), words[pole]) for pole in chosen]
    )


def label_words(rng: random.Random) -> Exercise:
    """Polarity of single words and phrases, several in a row."""
    kind = rng.choice(["adj", "adj", "noun", "quality", "verb", "reaction"])
    poles = rng.choice(["+-", "+-="]) if kind in ("adj", "reaction") else "+-"
    words = vocabulary(rng)
    chosen = draw_poles(rng, poles, rng.choice([3, 4, 6, 8]))
    return Exercise(
        asked(rng, "polarity.en"), [(pick(rng, f"{kind}{pole}"), words[pole]) for pole in chosen]
    )


def list_words(rng: random.Random) -> Exercise:
    """Opinion words of one pole, as a list: words of a kind come to lie close together."""
    pole, domain = rng.choice("+-"), rng.choice(DOMAINS)
    thing = rng.choice(sections("domains_en")[f"{domain}.thing"])
    words = [pick(rng, f"adj{pole}") for _ in range(rng.randint(4, 9))]
    name = {POSITIVE: "positive", NEGATIVE: "negative"}[pole]
    return Exercise(f"Write {name} words about {article(thing)}.", [(thing, ", ".join(words))])


def write_review(rng: random.Random) -> Exercise:
    """From label and thing to a review."""
    domain, pole = rng.choice(DOMAINS), rng.choice("+-=")
    name = {POSITIVE: "positive", NEGATIVE: "negative", NEUTRAL: "neutral"}[pole]
    thing = rng.choice(sections("domains_en")[f"{domain}.thing"])
    given = rng.choice([f"{name} {thing}", f"{thing}, {name}", f"{name}: {thing}"])
    text = surface(rng, review(rng, pole, domain))
    return Exercise("Write a short review with the given sentiment.", [(given, text)])


def which_is_better(rng: random.Random) -> Exercise:
    """Which of two reviews is the more positive one."""
    domain = rng.choice(DOMAINS)
    poles = rng.choice(["+-", "-+", "+=", "=+", "=-", "-="])
    first, second = (surface(rng, review(rng, pole, domain)) for pole in poles)
    answer = "A" if "-=+".index(poles[0]) > "-=+".index(poles[1]) else "B"
    return Exercise(
        "Which review is more positive, A or B?", [(f"A: {first}\nB: {second}", answer)]
    )


def named_aspect(rng: random.Random) -> Exercise:
    """Polarity of one named part of a thing, where two parts are judged."""
    parts = rng.sample(sections("domains_en")[f"{rng.choice(DOMAINS)}.part"], 2)
    poles = draw_poles(rng, "+-", 2)
    one, two = (
        f"the {part} was {adjectives(rng, pole)}" for part, pole in zip(parts, poles, strict=True)
    )
    said = f"{one} {'and' if poles[0] == poles[1] else 'but'} {two}"
    words = vocabulary(rng)
    target = rng.randrange(2)
    text = f"{surface(rng, said)}\nAspect: {parts[target]}"
    return Exercise(asked(rng, "aspect.en"), [(text, words[poles[target]])])


MAKERS = [
    (label_reviews, 12),
    (label_words, 3),
    (list_words, 1),
    (write_review, 2),
    (which_is_better, 1),
    (named_aspect, 1),
]
