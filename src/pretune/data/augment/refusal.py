"""Why a variant is not used."""

from enum import StrEnum


class Fault(StrEnum):
    """The value is what counts and files of rejected variants say."""

    NO_ANSWER = "no answer"
    CUT = "cut off at max_tokens"
    FORM = "not the form that was asked for"
    COPIED = "repeats the prompt"
    UNTRANSLATED = "was not translated"
    LANGUAGE = "in another language than its row"
    COPY = "a copy of its row"
    UNLIKE = "unlike its row"
    LENGTH = "far longer or shorter than its row"
    NUMBERS = "a number was lost or came"
    NAMES = "a name was lost or came"
    VALUES = "an amount, date, account or name is written otherwise"
    MASKED = "a pseudonym was lost, changed or came"
    SPANS = "an annotated text stands there more or less often"
    TARGET = "the answer stands there no more"
    LABEL = "reads like another label"
    REPEATED = "made before"


class Refused(Exception):
    """A variant, or a reply, that is not used. ``text`` is what it said; the message holds none of
    it."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(fault.value)
        self.fault, self.text = fault, text
