"""Customer messages and their intents, English and Chinese, from phrasings with slots."""

from __future__ import annotations

import random
import re

from made.exercise import Exercise, asked, capital, repeats, tongue, with_labels
from made.grammar import fill
from made.words import columns, phrases, sections

Intent = tuple[str, str, list[str]]
NOTHING = "_"
QUESTION = re.compile(
    r"(how|what|where|when|why|who|which|can|do|does|is|are|will|has|could|am)\b", re.I
)
URGENCY = {
    "high": ["This is urgent!", "Everything is down.", "We are losing money.", "Right now please!"],
    "medium": ["Please look at it today.", "It would help to have it this week."],
    "low": ["No hurry.", "Whenever you have time.", "It can wait until next month."],
}


def intents(chinese: bool) -> list[Intent]:
    """(domain, label, phrasings) of a language."""
    return [(row[0], row[1], row[2:]) for row in columns(f"intents_{tongue(chinese)}")]


def around(rng: random.Random, chinese: bool) -> tuple[str, str]:
    """What stands before and after a request; mostly nothing."""
    known = phrases("politeness")
    before, after = (rng.choice(known[f"{side}.{tongue(chinese)}"]) for side in ("before", "after"))
    return before.replace(NOTHING, ""), after.replace(NOTHING, "")


def message(rng: random.Random, intent: Intent, chinese: bool) -> str:
    """One customer message with this intent."""
    values = sections("slots")
    text = fill(rng.choice(intent[2]), lambda slot: rng.choice(values[f"{tongue(chinese)}.{slot}"]))
    before, after = around(rng, chinese)
    if chinese:
        return before + text + after
    if not before or before[-1] in ".?":
        text = capital(text)
    mark = rng.choice(["?", "?", "?", ""] if QUESTION.match(text) else [".", ".", "", "!"])
    text = f"{before} {text}{mark}".strip()
    if mark and after:
        text = f"{text} {after}"
    return text.lower() if rng.random() < 0.2 else capital(text)


def spell(label: str, style: int) -> str:
    """A label in one of five spellings, most of them plain."""
    return [label, label, label, label.replace(" ", "_"), label.title()][style]


def label_messages(rng: random.Random) -> Exercise:
    """Intent of a message, mostly with no list of labels."""
    chinese = rng.random() < 0.2
    known = intents(chinese)
    if rng.random() < 0.6:
        domain = rng.choice(known)[0]
        known = [intent for intent in known if intent[0] == domain]
    instruction = asked(rng, f"intent.{tongue(chinese)}")
    chosen = [rng.choice(known) for _ in range(repeats(rng))]
    style = rng.randrange(5)
    if rng.random() < 0.2:
        others = rng.sample(known, min(4, len(known)))
        options = sorted({spell(intent[1], style) for intent in [*chosen, *others]})
        instruction = with_labels(rng, instruction, options, chinese)
    return Exercise(
        instruction, [(message(rng, one, chinese), spell(one[1], style)) for one in chosen]
    )


def name_domain(rng: random.Random) -> Exercise:
    """Which desk a message belongs to."""
    chinese = rng.random() < 0.25
    known = intents(chinese)
    labels = sorted({intent[0] for intent in known})
    instruction = "这条消息属于哪个领域？" if chinese else "Which department should answer?"
    chosen = [rng.choice(known) for _ in range(repeats(rng))]
    return Exercise(
        with_labels(rng, instruction, labels, chinese),
        [(message(rng, intent, chinese), intent[0]) for intent in chosen],
    )


def same_intent(rng: random.Random) -> Exercise:
    """Whether two messages ask for the same thing; the others are of the same domain."""
    chinese = rng.random() < 0.35
    known = [intent for intent in intents(chinese) if len(intent[2]) > 1]
    yes, no = ("是", "否") if chinese else rng.choice([("yes", "no"), ("same", "different")])
    layout = rng.choice(["1: {}\n2: {}", "A: {}\nB: {}", "{}\n{}"])
    pairs = []
    for _ in range(repeats(rng)):
        first = second = rng.choice(known)
        if rng.random() < 0.5:
            second = rng.choice([one for one in known if one[0] == first[0] and one != first])
        text = layout.format(message(rng, first, chinese), message(rng, second, chinese))
        pairs.append((text, yes if first == second else no))
    instruction = asked(rng, f"same.{tongue(chinese)}")
    return Exercise(with_labels(rng, instruction, [yes, no], chinese), pairs)


def urgency(rng: random.Random) -> Exercise:
    """How urgent a message sounds, from the words it carries."""
    pairs = []
    for _ in range(repeats(rng)):
        label = rng.choice(list(URGENCY))
        text = message(rng, rng.choice(intents(False)), False)
        pairs.append((f"{text} {rng.choice(URGENCY[label])}", label))
    return Exercise(with_labels(rng, "How urgent is the ticket?", list(URGENCY), False), pairs)


def write_message(rng: random.Random) -> Exercise:
    """From the intent to a message."""
    chinese = rng.random() < 0.2
    intent = rng.choice(intents(chinese))
    instruction = (
        "按意图写一条用户消息。" if chinese else "Write a customer message with this intent."
    )
    return Exercise(instruction, [(intent[1], message(rng, intent, chinese))])


MAKERS = [
    (label_messages, 10),
    (name_domain, 1),
    (same_intent, 4),
    (urgency, 1),
    (write_message, 1),
]
