"""Label tasks: a section of patterns for each label, and small talk around them."""

from collections.abc import Callable, Iterator, Mapping
from random import Random

from demo_tasks.grammar import Grammar, Speaker, Values
from demo_tasks.parts import Part
from demo_tasks.rows import Row, Source

Join = Callable[[Speaker, str], str]
"""Puts small talk around a sentence."""


def plain(_speaker: Speaker, sentence: str) -> str:
    """The sentence as it is."""
    return sentence


def labelled(
    grammar: Grammar,
    weights: Mapping[str, int],
    join: Join = plain,
    values: Callable[[Random], Values] = lambda _rng: {},
) -> Source:
    """Rows ``{text, label}`` of ``grammar``, the labels in the proportion of ``weights``.

    Within a label the patterns take turns, so that each weighs the same in a score.
    """

    def source(part: Part, rng: Random) -> Iterator[Row]:
        speaker = grammar.speaker(part, rng)
        turns = {label: _turns(grammar.patterns(label, part), rng) for label in weights}
        for label in _turns([name for name, weight in weights.items() for _ in range(weight)], rng):
            sentence = speaker.say(next(turns[label]), values(rng))
            yield {"text": join(speaker, sentence), "label": label}

    return source


def _turns(items: list[str], rng: Random) -> Iterator[str]:
    """Every item once, in a new order each round, for ever."""
    while True:
        yield from rng.sample(items, len(items))
