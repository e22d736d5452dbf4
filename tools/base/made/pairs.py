"""Pairs of made sentences: does the second follow from the first, and do they mean the same?"""

from __future__ import annotations

import random

from made.exercise import Exercise, asked, repeats, tongue, with_labels
from made.names import person, person_zh, place_name, place_zh
from made.words import columns

YES, NO, MAYBE = "yes", "no", "maybe"
ANSWERS = (YES, NO, MAYBE)
VOCABULARIES = {
    False: [
        ("yes", "no", "maybe"),
        ("entailment", "contradiction", "neutral"),
        ("true", "false", "unknown"),
        ("follows", "contradicts", "unclear"),
    ],
    True: [("蕴含", "矛盾", "中立"), ("是", "否", "不确定"), ("对", "错", "未知")],
}
LAYOUTS = {
    False: ["A: {}\nB: {}", "Premise: {}\nHypothesis: {}", "{}\n{}", "1. {}\n2. {}"],
    True: ["句子一：{}\n句子二：{}", "{}\n{}", "前提：{}\n假设：{}"],
}
PLACES = [
    "in the park", "near the station", "at the market", "in the street", "on the beach", "at home",
    "behind the house", "in front of a shop",
]  # fmt: skip
OWNED = ["books", "employees", "cars", "houses", "letters", "tickets"]
THINGS = ["car", "table", "book", "house", "report", "garden", "phone", "picture", "boat"]


def someone_doing(rng: random.Random, answer: str) -> tuple[str, str]:
    """Someone does something somewhere; a second sentence about them."""
    who, kind, verb, kind_verb = rng.choice(columns("people"))
    doing, true, false, possible = rng.choice(columns("doings_en"))
    place = rng.choice(PLACES)
    subject, is_ = rng.choice([(who, verb), (kind, kind_verb)])
    second = {
        YES: [
            f"{subject} {is_} {true}.",
            f"{kind} {kind_verb} {doing}.",
            f"{subject} {is_} {place}.",
        ],
        NO: [f"{subject} {is_} {false}.", f"{subject} {is_} not {doing}.", f"Nobody is {doing}."],
        MAYBE: [f"{subject} {is_} {possible}.", f"{subject} {is_} happy."],
    }
    return f"{who} {verb} {doing} {place}.", rng.choice(second[answer])


def amounts(rng: random.Random, answer: str) -> tuple[str, str]:
    """A number stated, and a claim about it."""
    who, number, things = person(rng), rng.randint(12, 90), rng.choice(OWNED)
    fewer = number - rng.randint(1, 9)
    second = {
        YES: f"{who} has more than {fewer} {things}.",
        NO: f"{who} has {rng.choice(['fewer than', 'only'])} {fewer} {things}.",
        MAYBE: f"{who} bought the {things} in {place_name(rng)}.",
    }
    return f"{who} has {number} {things}.", second[answer]


def someone_doing_zh(rng: random.Random, answer: str) -> tuple[str, str]:
    """The Chinese counterpart of `someone_doing`."""
    who, place = person_zh(rng), place_zh(rng)
    doing, true, false, possible = rng.choice(columns("doings_zh"))
    first = rng.choice([f"{who}正在{doing}。", f"今天{who}在{place}，正在{doing}。"])
    second = {
        YES: [f"{who}{true}。", f"有人在{doing}。"],
        NO: [f"{who}{false}。", f"{who}没有{doing}。"],
        MAYBE: [f"{who}{possible}。"],
    }
    return first, rng.choice(second[answer])


def entailment(rng: random.Random) -> Exercise:
    """Does the second sentence follow: yes, no, maybe."""
    chinese = rng.random() < 0.3
    words = dict(zip(ANSWERS, rng.choice(VOCABULARIES[chinese]), strict=True))
    layout = rng.choice(LAYOUTS[chinese])
    pairs = []
    for _ in range(repeats(rng)):
        answer = rng.choice(ANSWERS)
        maker = someone_doing_zh if chinese else rng.choice([someone_doing, someone_doing, amounts])
        pairs.append((layout.format(*maker(rng, answer)), words[answer]))
    instruction = asked(rng, f"entail.{tongue(chinese)}")
    return Exercise(with_labels(rng, instruction, list(words.values()), chinese), pairs)


def same_meaning(rng: random.Random) -> Exercise:
    """A sentence and its rewording, or one in which names and things were swapped."""
    layout = rng.choice(["A: {}\nB: {}", "{}\n{}", "1. {}\n2. {}"])
    pairs = []
    for _ in range(repeats(rng)):
        first, second = rng.choice(columns("rewordings"))
        thing, other_thing = rng.sample(THINGS, 2)
        slots = {
            "a": thing, "b": rng.choice(["larger", "cheaper", "older", "better"]),
            "who": person(rng), "other": person(rng), "place": place_name(rng),
            "n": rng.randint(2, 60),
        }  # fmt: skip
        swapped = slots | {
            "a": other_thing, "b": "smaller", "who": slots["other"], "other": slots["who"],
            "n": rng.randint(61, 99),
        }  # fmt: skip
        same = rng.random() < 0.5
        text = layout.format(first.format(**slots), second.format(**(slots if same else swapped)))
        pairs.append((text, YES if same else NO))
    return Exercise(asked(rng, "paraphrase"), pairs)


MAKERS = [(entailment, 3), (same_meaning, 1)]
