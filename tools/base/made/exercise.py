"""An exercise (one instruction, some worked examples) and the ways to write it as a chat."""

from __future__ import annotations

import random
from dataclasses import dataclass

from chat import Turn

from made.words import phrases

IN_SYSTEM = 0.65  # share of chats with the instruction in the system turn
WITH_HELPER = 0.10  # share with a general system turn instead
OWN_CONTEXT = 0.75  # share of contexts that get a turn of their own
JOINTS = ["{ask}\n{text}", "{ask}\n\n{text}", "{ask} {text}", "{text}\n{ask}", "{text}\n\n{ask}"]


@dataclass
class Exercise:
    """An instruction, pairs of (input, answer), and a text that all inputs are about, if any."""

    instruction: str
    examples: list[tuple[str, str]]
    context: str = ""


def asked(rng: random.Random, kind: str) -> str:
    """One of the ways to ask for a kind of exercise."""
    return rng.choice(phrases("instructions")[kind])


def tongue(chinese: bool) -> str:
    """The suffix of a word list's language."""
    return "zh" if chinese else "en"


def with_labels(rng: random.Random, instruction: str, labels: list[str], chinese: bool) -> str:
    """The instruction, in half of the cases followed by the list of labels."""
    if rng.random() < 0.5:
        return instruction
    shown = rng.sample(labels, len(labels))
    joint = rng.choice(["、", "，"] if chinese else [", ", " | ", " / "])
    hint = asked(rng, f"labels.{tongue(chinese)}").format(labels=joint.join(shown))
    return f"{instruction}{'' if chinese else ' '}{hint}"


def compose(rng: random.Random, exercise: Exercise) -> list[Turn]:
    """Write an exercise as a chat.

    The instruction stands in the system or in the first user turn; a context has a turn of its own
    or opens the first user turn.
    """
    style = rng.random()
    turns: list[Turn] = []
    if style < IN_SYSTEM:
        turns.append(Turn("system", exercise.instruction))
    elif style < IN_SYSTEM + WITH_HELPER:
        turns.append(Turn("system", asked(rng, "helper")))
    (given, answer), *more = exercise.examples
    if exercise.context and rng.random() < OWN_CONTEXT:
        turns.append(Turn("context", exercise.context))
    elif exercise.context:
        given = f"{exercise.context}\n{given}"
    if style >= IN_SYSTEM:
        given = rng.choice(JOINTS).format(ask=exercise.instruction, text=given)
    for question, reply in [(given, answer), *more]:
        turns += [Turn("user", question), Turn("assistant", reply)]
    return turns


def repeats(rng: random.Random) -> int:
    """How many examples an exercise gets: mostly one, sometimes a few in a row."""
    return rng.choice([1, 1, 1, 2, 2, 3, 4])


def article(phrase: str) -> str:
    """`a` or `an` before an English phrase."""
    return f"{'an' if phrase[0].lower() in 'aeiou' else 'a'} {phrase}"


def capital(text: str) -> str:
    """The text with its first letter as a capital."""
    return text[:1].upper() + text[1:]
