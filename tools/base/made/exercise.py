"""An exercise (one instruction, some worked examples) and the ways to write it as a chat."""

from __future__ import annotations

import random
from dataclasses import dataclass

from chat import Turn

HINTS_EN = [
    "Answer with one of: {labels}.",
    "Options: {labels}.",
    "Choose from {labels}.",
    "Possible answers: {labels}",
    "Reply with {labels} only.",
]
HINTS_ZH = ["可选：{labels}。", "请从{labels}中选择。", "只回答{labels}之一。", "选项：{labels}"]
HELPERS = [
    "You are a helpful assistant.",
    "You are a careful assistant. Follow the instruction.",
    "Answer briefly.",
    "你是一个有用的助手。",
    "请按要求回答。",
]


@dataclass
class Exercise:
    """An instruction and pairs of (input, answer)."""

    instruction: str
    examples: list[tuple[str, str]]


def with_labels(rng: random.Random, instruction: str, labels: list[str], chinese: bool) -> str:
    """The instruction, in half of the cases followed by the list of labels."""
    if rng.random() < 0.5:
        return instruction
    shown = labels[:]
    rng.shuffle(shown)
    joint = rng.choice(["、", "，"] if chinese else [", ", " | ", " / "])
    hint = rng.choice(HINTS_ZH if chinese else HINTS_EN).format(labels=joint.join(shown))
    return f"{instruction}{'' if chinese else ' '}{hint}"


def compose(rng: random.Random, exercise: Exercise) -> list[Turn]:
    """Write an exercise as a chat; the instruction stands in the system or in the first user turn."""
    style = rng.random()
    turns: list[Turn] = []
    if style < 0.65:
        turns.append(Turn("system", exercise.instruction))
    elif style < 0.75:
        turns.append(Turn("system", rng.choice(HELPERS)))
    for number, (given, answer) in enumerate(exercise.examples):
        asked = given
        if style >= 0.65 and number == 0:
            asked = joined(rng, exercise.instruction, given)
        turns += [Turn("user", asked), Turn("assistant", answer)]
    return turns


def joined(rng: random.Random, instruction: str, given: str) -> str:
    """Instruction and input in one user turn."""
    return rng.choice(
        [
            f"{instruction}\n{given}",
            f"{instruction}\n\n{given}",
            f"{instruction} {given}",
            f"{given}\n{instruction}",
            f"{given}\n\n{instruction}",
        ]
    )


def repeats(rng: random.Random) -> int:
    """How many examples an exercise gets: mostly one, sometimes a few in a row."""
    return rng.choice([1, 1, 1, 2, 2, 3, 4])


def article(phrase: str) -> str:
    """`a` or `an` before an English phrase."""
    return f"{'an' if phrase[0].lower() in 'aeiou' else 'a'} {phrase}"


def capital(text: str) -> str:
    """The text with its first letter as a capital."""
    return text[:1].upper() + text[1:]
