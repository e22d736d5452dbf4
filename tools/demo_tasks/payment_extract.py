"""``payment-extract``: payee, amount and date of a payment instruction, as it writes them."""

from collections.abc import Iterator
from random import Random

from demo_tasks.grammar import Grammar
from demo_tasks.numbers import date, payment_amount
from demo_tasks.parts import Part
from demo_tasks.rows import DemoTask, Row

_WORDS = Grammar("common_en", "payment_extract")


def _source(part: Part, rng: Random) -> Iterator[Row]:
    speaker = _WORDS.speaker(part, rng)
    patterns = _WORDS.patterns("instruction", part)
    while True:
        found = {
            "payee": speaker.pick("payee"),
            "amount": payment_amount(rng),
            "date": date(rng),
        }
        text = speaker.say(rng.choice(patterns), found)
        if rng.random() < 0.4:
            text += " " + speaker.pick("tail")
        answer = "; ".join(f"{name}: {value}" for name, value in found.items())
        yield {"text": text, "answer": answer}


TASK = DemoTask("payment-extract", _source, "answer")
