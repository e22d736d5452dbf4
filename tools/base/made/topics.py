"""Topic of a headline, from nouns that belong to it."""

from __future__ import annotations

import random

from made.exercise import Exercise, asked, capital, repeats, tongue, with_labels
from made.names import CHINESE, ENGLISH
from made.words import columns, phrases


def headline(rng: random.Random, nouns: list[str], chinese: bool) -> str:
    """A headline that mentions one or two of a topic's nouns."""
    names = CHINESE if chinese else ENGLISH
    text = rng.choice(phrases("headlines")[tongue(chinese)]).format(
        *rng.sample(nouns, 2),
        place=names.place(rng),
        who=names.person(rng),
        company=names.company(rng),
    )
    return capital(text) if rng.random() < 0.8 else text.lower()


def label_topics(rng: random.Random) -> Exercise:
    """Topic of headlines; the labels on offer change from row to row."""
    chinese = rng.random() < 0.35
    rows = columns(f"topics_{tongue(chinese)}")
    known = {topic: [noun.strip() for noun in nouns.split(",")] for topic, nouns in rows}
    labels = rng.sample(list(known), rng.randint(3, 8)) if rng.random() < 0.5 else list(known)
    instruction = asked(rng, f"topic.{tongue(chinese)}")
    if len(labels) < len(known):
        instruction = with_labels(rng, instruction, labels, chinese)
    chosen = [rng.choice(labels) for _ in range(repeats(rng))]
    return Exercise(instruction, [(headline(rng, known[each], chinese), each) for each in chosen])


MAKERS = [(label_topics, 1)]
