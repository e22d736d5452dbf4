"""``bank-intent``: what a customer of a bank wants, one of twelve."""

from demo_tasks.grammar import Grammar, Speaker
from demo_tasks.labelled import labelled
from demo_tasks.rows import DemoTask

INTENTS = (
    "lost_card",
    "card_declined",
    "card_delivery",
    "forgotten_pin",
    "unknown_charge",
    "fee_dispute",
    "transfer_pending",
    "wrong_recipient",
    "refund_status",
    "raise_limit",
    "change_address",
    "close_account",
)


def _join(speaker: Speaker, sentence: str) -> str:
    """A remark (which may name what other intents are about), a greeting, a close, or none."""
    parts = [sentence]
    draw = speaker.rng.random()
    if draw < 0.15:
        parts.insert(0, speaker.pick("aside"))
    elif draw < 0.3:
        parts.append(speaker.pick("aside"))
    elif draw < 0.5:
        parts.insert(0, speaker.pick("open"))
    elif draw < 0.65:
        parts.append(speaker.pick("close"))
    return " ".join(parts)


TASK = DemoTask(
    "bank-intent",
    labelled(Grammar("common_en", "bank_intent"), dict.fromkeys(INTENTS, 1), _join),
    "label",
)
