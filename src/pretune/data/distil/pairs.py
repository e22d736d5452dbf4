"""Pairs as the teacher wrote them, and what is wrong with those that are not kept."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pretune.data.distil.prompts import Prompts
from pretune.data.teacher.ask import Reply
from pretune.spec.distil import QuestionType

_BRACKETS = 100
"""Brackets of a reply at which an array is looked for: a hostile reply is nothing but brackets."""

_LONGEST_TEXT = 300
"""Characters of a text of a reply that is held to a form."""


class Fault(StrEnum):
    """Why a reply or a pair is not used; the value is what reports print."""

    NO_ANSWER = "the teacher gave no answer"
    CUT = "cut off at max_tokens"
    NO_JSON = "not the JSON that was asked for"
    COPIED = "repeats the prompt"
    EMPTY = "no question or no answer"
    STATED = "the question is a part of its answer"
    REFERS = "points at a text its reader does not see"
    LANGUAGE = "in another language than its text"
    SUPPORT = "the quoted support is not in the text"
    NUMBERS = "a number is not in the support"
    NAMES = "a name is not in the support"
    COVERAGE = "the answer says what the text does not"
    ROUND_TRIP = "the question does not find its text"
    DISAGREES = "asked again, the teacher answers otherwise"
    REPEATED = "asked before"


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and its answer, with the passage that proves it."""

    type: QuestionType
    question: str
    answer: str
    support: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A pair, or the text of a whole reply, and what was found: ``fault`` is ``None`` for a pair
    that may be kept. ``checks`` are shares from 0 to 1, by name."""

    type: QuestionType
    pair: Pair | None
    fault: Fault | None = None
    detail: str = ""
    text: str = ""
    checks: dict[str, float] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """Mean of the checks."""
        return round(sum(self.checks.values()) / len(self.checks), 3) if self.checks else 0.0


class Junk(Exception):
    """A reply of which nothing is used."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


def form_of(most: int) -> str:
    """The JSON schema of a reply with up to ``most`` pairs. Its texts are short enough to end."""
    text = {"type": "string", "maxLength": _LONGEST_TEXT}
    names = ("question", "answer", "support")
    pair = {
        "type": "object",
        "properties": dict.fromkeys(names, text),
        "required": names,
        "additionalProperties": False,
    }
    return json.dumps({"type": "array", "items": pair, "maxItems": most})


def parse(reply: Reply | None, kind: QuestionType, prompts: Prompts) -> list[Pair]:
    """The pairs that a reply holds.

    Raises:
        Junk: nothing of it can be used.
    """
    if reply is None:
        raise Junk(Fault.NO_ANSWER)
    if not reply.whole:
        raise Junk(Fault.CUT)
    if prompts.copied(reply.text):
        raise Junk(Fault.COPIED)
    for value in _arrays(reply.text):
        if all(isinstance(item, dict) and "question" in item for item in value):
            return [
                Pair(kind, *(_text(item.get(name)) for name in ("question", "answer", "support")))
                for item in value
            ]
    raise Junk(Fault.NO_JSON)


def _arrays(text: str) -> Iterator[list[Any]]:
    """JSON arrays in ``text``, whatever stands around them."""
    decoder = json.JSONDecoder()
    place = text.find("[")
    for _ in range(_BRACKETS):
        if place < 0:
            return
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            if isinstance(value, list):
                yield value
        place = text.find("[", end)


def _text(value: Any) -> str:
    """A field as text: a list of steps as lines."""
    if isinstance(value, list):
        return "\n".join(_text(item) for item in value)
    return "" if value is None or isinstance(value, dict) else str(value).strip()
