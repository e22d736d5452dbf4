"""Reviews in English from a grammar of opinions: negation, contrast, degree, fragments."""

from __future__ import annotations

import random
import re

from made.exercise import Exercise, article, capital, repeats, with_labels
from made.words import sections

POSITIVE, NEGATIVE, NEUTRAL, MIXED = "+", "-", "=", "~"
OPPOSITE = {POSITIVE: NEGATIVE, NEGATIVE: POSITIVE}
DOMAINS = ["film", "film", "film", "hotel", "food", "software", "product", "service", "book"]

VOCABULARIES: list[dict[str, str]] = [
    {POSITIVE: "positive", NEGATIVE: "negative", NEUTRAL: "neutral", MIXED: "mixed"},
    {POSITIVE: "positive", NEGATIVE: "negative", NEUTRAL: "neutral", MIXED: "mixed"},
    {POSITIVE: "Positive", NEGATIVE: "Negative", NEUTRAL: "Neutral", MIXED: "Mixed"},
    {POSITIVE: "good", NEGATIVE: "bad", NEUTRAL: "neither", MIXED: "both"},
    {POSITIVE: "happy", NEGATIVE: "unhappy", NEUTRAL: "indifferent", MIXED: "torn"},
    {POSITIVE: "praise", NEGATIVE: "complaint", NEUTRAL: "statement", MIXED: "praise and complaint"},
    {POSITIVE: "thumbs up", NEGATIVE: "thumbs down", NEUTRAL: "no vote", MIXED: "half and half"},
    {POSITIVE: "satisfied", NEGATIVE: "dissatisfied", NEUTRAL: "neutral", MIXED: "mixed"},
    {POSITIVE: "favorable", NEGATIVE: "unfavorable", NEUTRAL: "neutral", MIXED: "mixed"},
    {POSITIVE: "1", NEGATIVE: "0", NEUTRAL: "2", MIXED: "3"},
    {POSITIVE: "A", NEGATIVE: "B", NEUTRAL: "C", MIXED: "D"},
]
INSTRUCTIONS = [
    "What is the sentiment of this text?",
    "Classify the sentiment of the review.",
    "Sentiment:",
    "Decide whether the opinion is favourable or not.",
    "Label the review.",
    "How does the writer feel?",
    "Is this comment good or bad?",
    "Read the sentence and give its sentiment.",
    "You rate customer comments by sentiment.",
    "Tell the tone of the following sentence.",
    "You are a sentiment classifier.",
    "Classify the text.",
    "Does the author like it?",
]


def pick(rng: random.Random, section: str) -> str:
    """A word of a section of the opinion list."""
    return rng.choice(sections("opinion_en")[section])


def degree(rng: random.Random, adjective: str) -> str:
    """The adjective, sometimes with an adverb of degree."""
    draw = rng.random()
    if draw < 0.25 and " " not in adjective:
        return f"{pick(rng, 'degree+')} {adjective}"
    if draw < 0.32 and " " not in adjective:
        return f"{pick(rng, 'degree-')} {adjective}"
    return adjective


def adjectives(rng: random.Random, pole: str) -> str:
    """One to three adjectives of one pole, as they stand before a noun or after `is`."""
    first, second, third = (pick(rng, f"adj{pole}") for _ in range(3))
    return rng.choice(
        [
            degree(rng, first),
            degree(rng, first),
            f"{first} and {second}",
            f"{first}, {second}",
            f"{first}, {second} and {third}",
            f"{first} yet {second}",
            f"both {first} and {second}",
        ]
    )


def clause(rng: random.Random, pole: str, domain: str) -> str:
    """A clause with the polarity `pole`."""
    names = sections("domains_en")
    thing, part = rng.choice(names[f"{domain}.thing"]), rng.choice(names[f"{domain}.part"])
    if pole == NEUTRAL:
        return neutral(rng, thing, part)
    other = OPPOSITE[pole]
    verb = rng.choice(["is", "is", "was", "feels", "seems", "turned out", "remains"])
    forms = [
        lambda: f"the {part} {verb} {adjectives(rng, pole)}",
        lambda: f"the {part} {verb} {adjectives(rng, pole)}",
        lambda: f"{article(adjectives(rng, pole))} {thing}",
        lambda: f"{article(adjectives(rng, pole))} {thing}",
        lambda: f"{article(degree(rng, pick(rng, f'adj{pole}')))} {thing} with {adjectives(rng, pole)} {part}",
        lambda: f"{article(pick(rng, f'noun{pole}'))} of {article(thing)}",
        lambda: f"this {thing} is {article(pick(rng, f'noun{pole}'))}",
        lambda: f"the {thing} {pick(rng, f'verb{pole}')}",
        lambda: f"the {part} {pick(rng, f'verb{pole}')}",
        lambda: f"it {pick(rng, f'verb{pole}')} and {pick(rng, f'verb{pole}')}",
        lambda: pick(rng, f"reaction{pole}"),
        lambda: f"{article(thing)} that {pick(rng, f'verb{pole}')}",
        lambda: f"full of {pick(rng, f'quality{pole}')} and {pick(rng, f'quality{pole}')}",
        lambda: f"with {pick(rng, f'quality{pole}')}, {pick(rng, f'quality{pole}')} and {adjectives(rng, pole)} {part}",
        lambda: f"the {thing} has {pick(rng, f'quality{pole}')} to spare",
        lambda: f"there is so much {pick(rng, f'quality{pole}')} in the {part}",
        lambda: f"more {pick(rng, f'adj{pole}')} than {pick(rng, f'adj{other}')}",
        lambda: f"as {pick(rng, f'adj{pole}')} as it is {pick(rng, f'adj{pole}')}",
        lambda: f"manages to be {pick(rng, f'adj{pole}')} and {pick(rng, f'adj{pole}')} at the same time",
        lambda: f"one of the {rng.choice(['most', 'more'])} {pick(rng, f'adj{pole}')} {thing}s of the year",
        lambda: negated(rng, pole, thing, part),
        lambda: negated(rng, pole, thing, part),
        lambda: negated(rng, pole, thing, part),
    ]
    if domain == "film":
        maker = rng.choice(names["film.maker"])
        forms += [
            lambda: f"the {maker} {pick(rng, f'verb{pole}')} in this {adjectives(rng, pole)} {thing}",
            lambda: f"{article(adjectives(rng, pole))} performance by the {maker}",
            lambda: f"the {maker} brings {pick(rng, f'quality{pole}')} and {pick(rng, f'quality{pole}')} to the {part}",
            lambda: f"{article(thing)} of {pick(rng, f'quality{pole}')} and {pick(rng, f'quality{pole}')}",
        ]
    return rng.choice(forms)()


def negated(rng: random.Random, pole: str, thing: str, part: str) -> str:
    """A clause of polarity `pole` built by turning its opposite round."""
    other = OPPOSITE[pole]
    adjective = pick(rng, f"adj{other}")
    shared = [
        f"the {part} is not {adjective}",
        f"the {part} isn't {rng.choice(['really', 'exactly', 'particularly', 'at all'])} {adjective}",
        f"never {adjective}",
        f"far from {adjective}",
        f"anything but {adjective}",
        f"hardly {article(pick(rng, f'noun{other}'))}",
        f"no {pick(rng, f'quality{other}')} to be found in this {thing}",
        f"without any {pick(rng, f'quality{other}')}",
        f"lacks {pick(rng, f'quality{other}')} and {pick(rng, f'quality{other}')}",
    ]
    if pole == NEGATIVE:
        shared += [
            f"could have been {adjective}",
            f"should have been much more {adjective}",
            f"wants to be {adjective} but never is",
            f"too {pick(rng, 'adj-')} to be {adjective}",
            f"I wish the {part} were {adjective}",
            f"not even {article(adjective)} {part} can save this {thing}",
            f"promises {pick(rng, 'quality+')} and delivers {pick(rng, 'quality-')}",
            f"if only the {part} had been {adjective}",
            f"nothing about the {part} is {adjective}",
        ]
    else:
        shared += [
            f"there is nothing {adjective} about the {part}",
            f"I expected {article(adjective)} {thing} and got {article(pick(rng, 'adj+'))} one",
            f"avoids {pick(rng, 'quality-')}",
            f"never becomes {adjective} or {pick(rng, 'adj-')}",
            f"you would have to be {pick(rng, 'adj-')} not to like it",
        ]
    return rng.choice(shared)


def neutral(rng: random.Random, thing: str, part: str) -> str:
    """A clause without an opinion."""
    kind, other = pick(rng, "adj="), pick(rng, "adj=")
    return rng.choice(
        [
            f"{article(kind)} {thing} with {article(other)} {part}",
            f"the {part} is {kind}",
            f"the {thing} is {rng.choice(['about', 'set in', 'from', 'made in'])} {rng.choice(['London', '1998', 'a small town', 'two brothers', 'the north', 'Spain'])}",
            f"the {part} was changed in {rng.choice(['March', 'June', '2012', 'the autumn'])}",
            f"there are {rng.choice(['two', 'three', 'five'])} kinds of {thing} here",
            pick(rng, "reaction="),
            pick(rng, "reaction="),
        ]
    )


def contrast(rng: random.Random, pole: str, domain: str) -> str:
    """Two clauses of opposite polarity; the weight lies on `pole`."""
    main, side = clause(rng, pole, domain), clause(rng, OPPOSITE[pole], domain)
    return rng.choice(
        [
            f"{side}, but {main}",
            f"{side}, yet {main}",
            f"{side}; however, {main}",
            f"although {side}, {main}",
            f"even if {side}, {main}",
            f"while {side}, {main}",
            f"{main}, even though {side}",
            f"despite {pick(rng, f'quality{OPPOSITE[pole]}')}, {main}",
            f"for all its {pick(rng, f'quality{OPPOSITE[pole]}')}, {main}",
        ]
    )


def review(rng: random.Random, pole: str, domain: str) -> str:
    """A review of one to three clauses with the polarity `pole`."""
    if pole == MIXED:
        poles = [POSITIVE, NEGATIVE]
        rng.shuffle(poles)
        joint = rng.choice([". ", ", and ", "; on the other hand, "])
        return joint.join(clause(rng, each, domain) for each in poles)
    draw = rng.random()
    if pole != NEUTRAL and draw < 0.22:
        return contrast(rng, pole, domain)
    if draw < 0.62:
        return clause(rng, pole, domain)
    joint = rng.choice([". ", ", and ", ", ", "; ", " -- ", "! "])
    second = clause(rng, rng.choice([pole, pole, NEUTRAL]), domain)
    return f"{clause(rng, pole, domain)}{joint}{second}"


def surface(rng: random.Random, text: str) -> str:
    """Vary case and punctuation, as public review text does."""
    style = rng.random()
    if style < 0.35:
        lowered = re.sub(r"([,.;!?])", r" \1", text.lower())
        return re.sub(r"(n't|'s)\b", r" \1", lowered) + rng.choice(["", " .", " ."])
    text = re.sub(r"([.!] )(\w)", lambda found: found[1] + found[2].upper(), text)
    if style < 0.9:
        return capital(text) + rng.choice([".", ".", ".", "!", ""])
    return text


def label_reviews(rng: random.Random) -> Exercise:
    """Two-, three- or four-way sentiment."""
    poles = rng.choice(["+-", "+-", "+-", "+-=", "+-=~"])
    words = rng.choice(VOCABULARIES)
    instruction = rng.choice(INSTRUCTIONS)
    instruction = with_labels(rng, instruction, [words[pole] for pole in poles], chinese=False)
    if words[POSITIVE] in "1A":
        meaning = ", ".join(f"{words[p]} = {VOCABULARIES[0][p]}" for p in poles)
        instruction = f"{rng.choice(INSTRUCTIONS)} {meaning}."
    domain = rng.choice(DOMAINS)
    chosen = [rng.choice(poles) for _ in range(repeats(rng))]
    return Exercise(
        instruction, [(surface(rng, review(rng, pole, domain)), words[pole]) for pole in chosen]
    )


def label_words(rng: random.Random) -> Exercise:
    """Polarity of single words and phrases, several in a row."""
    kind = rng.choice(["adj", "adj", "noun", "quality", "verb", "reaction"])
    poles = rng.choice(["+-", "+-="]) if kind in ("adj", "reaction") else "+-"
    words = rng.choice(VOCABULARIES[:5])
    instruction = rng.choice(["Is the word positive or negative?", "Polarity of the phrase:",
                              "Good word or bad word?", "Label each word."])  # fmt: skip
    chosen = [rng.choice(poles) for _ in range(rng.choice([3, 4, 6, 8]))]
    return Exercise(instruction, [(pick(rng, f"{kind}{pole}"), words[pole]) for pole in chosen])


def list_words(rng: random.Random) -> Exercise:
    """Opinion words of one pole, as a list: words of a kind come to lie close together."""
    pole = rng.choice("+-")
    domain = rng.choice(DOMAINS)
    thing = rng.choice(sections("domains_en")[f"{domain}.thing"])
    name = {"+": "positive", "-": "negative"}[pole]
    words = [pick(rng, f"adj{pole}") for _ in range(rng.randint(4, 9))]
    return Exercise(f"Write {name} words about {article(thing)}.", [(thing, ", ".join(words))])


def write_review(rng: random.Random) -> Exercise:
    """From label and thing to a review."""
    domain = rng.choice(DOMAINS)
    pole = rng.choice("+-=")
    name = VOCABULARIES[0][pole]
    thing = rng.choice(sections("domains_en")[f"{domain}.thing"])
    text = surface(rng, review(rng, pole, domain))
    asked = rng.choice([f"{name} {thing}", f"{thing}, {name}", f"{name}: {thing}"])
    return Exercise("Write a short review with the given sentiment.", [(asked, text)])


def which_is_better(rng: random.Random) -> Exercise:
    """Which of two reviews is the more positive one."""
    domain = rng.choice(DOMAINS)
    poles = rng.choice(["+-", "-+", "+=", "=+", "=-", "-="])
    first, second = (surface(rng, review(rng, pole, domain)) for pole in poles)
    order = "-=+"
    answer = "A" if order.index(poles[0]) > order.index(poles[1]) else "B"
    return Exercise("Which review is more positive, A or B?", [(f"A: {first}\nB: {second}", answer)])


def named_aspect(rng: random.Random) -> Exercise:
    """Polarity of one named part of a thing, where two parts are judged."""
    domain = rng.choice(DOMAINS)
    one, two = rng.sample(sections("domains_en")[f"{domain}.part"], 2)
    poles = [rng.choice("+-"), rng.choice("+-")]
    said = f"the {one} was {adjectives(rng, poles[0])} and the {two} was {adjectives(rng, poles[1])}"
    if poles[0] != poles[1]:
        said = said.replace(" and the ", " but the ")
    words = rng.choice(VOCABULARIES[:5])
    asked = rng.randrange(2)
    text = f"{surface(rng, said)}\nAspect: {(one, two)[asked]}"
    return Exercise("What does the writer think of the aspect?", [(text, words[poles[asked]])])


MAKERS = [(label_reviews, 10), (label_words, 3), (list_words, 1), (write_review, 2),
          (which_is_better, 1), (named_aspect, 1)]  # fmt: skip
