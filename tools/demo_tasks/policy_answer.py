"""``policy-answer``: a question about fees, limits and times, answered from a short policy."""

from collections.abc import Callable, Iterator
from random import Random

from demo_tasks.grammar import Grammar
from demo_tasks.numbers import days, fee, high_rate, limit, low_rate
from demo_tasks.parts import Part
from demo_tasks.rows import DemoTask, Row

NOT_STATED = "not stated"
_NOT_STATED_SHARE = 0.15
_WORDS = Grammar("common_en", "policy_answer")

_TOPICS: dict[str, Callable[[Random], str]] = {
    "monthly_fee": fee,
    "abroad_fee": fee,
    "online_transfer": fee,
    "branch_transfer": fee,
    "card_fee": fee,
    "late_fee": fee,
    "cash_limit": limit,
    "spend_limit": limit,
    "transfer_days": days,
    "card_days": days,
    "closing_days": days,
    "exchange_rate": low_rate,
    "overdraft_rate": high_rate,
    "savings_rate": low_rate,
}


def _source(part: Part, rng: Random) -> Iterator[Row]:
    speaker = _WORDS.speaker(part, rng)
    while True:
        topics = rng.sample(list(_TOPICS), rng.choice((2, 3)))
        values = _different_values(topics, rng)
        asked, answer = rng.choice(topics), NOT_STATED
        if rng.random() < _NOT_STATED_SHARE:
            asked = rng.choice([topic for topic in _TOPICS if topic not in topics])
        else:
            answer = values[asked]
        facts = [
            speaker.say(
                rng.choice(_WORDS.patterns(f"{topic} fact", part)), {"value": values[topic]}
            )
            for topic in topics
        ]
        yield {
            "policy": " ".join([f"{speaker.pick('product')}.", *facts]),
            "question": speaker.say(rng.choice(_WORDS.patterns(f"{asked} ask", part))),
            "answer": answer,
        }


def _different_values(topics: list[str], rng: Random) -> dict[str, str]:
    """A value for each topic; no two alike, so that a right answer shows which fact was read."""
    values: dict[str, str] = {}
    for topic in topics:
        while (value := _TOPICS[topic](rng)) in values.values():
            pass
        values[topic] = value
    return values


TASK = DemoTask("policy-answer", _source, "answer")
