"""Small talk around a Chinese sentence."""

from demo_tasks.grammar import Speaker


def join(speaker: Speaker, sentence: str) -> str:
    """An opening, a close, or neither."""
    draw = speaker.rng.random()
    if draw < 0.3:
        return speaker.pick("open") + sentence
    if draw < 0.6:
        return sentence + speaker.pick("close")
    return sentence
