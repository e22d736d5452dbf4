"""Names of people in English text: after a title or a cue, or by lists of common names.

Without a language model a rare name without a cue is missed; docs/privacy.md says how many are.
"""

import re
from collections.abc import Iterator

from pretune.data.privacy.found import Found, PrivateType
from pretune.data.privacy.recognisers.pattern import WINDOW, cue, squeezed
from pretune.data.privacy.recognisers.wordlists import words

_PART = r"(?:[A-ZÀ-ÖØ-Þ](?:[A-Za-zÀ-ÖØ-öø-ÿ]{0,24}|\.)(?:['’-][A-Za-zÀ-ÖØ-öø-ÿ]{1,24}){0,2})"
_RUN = re.compile(rf"(?<![A-Za-z0-9À-ÿ@_.-]){_PART}(?:[ ]{_PART}){{0,4}}(?![A-Za-z0-9@_])")
_WORD = re.compile(r"[^ ]+")
_TITLE = re.compile(r"(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Sir|Capt|Captain|Rev|Judge)\.?")
_TITLE_BEFORE = re.compile(rf"(?<![A-Za-z]){_TITLE.pattern} $")
_STRONG = cue(
    r"(?:full |first |last |middle |my |his |her |whose )?name|surname|payee|payer|beneficiary|"
    r"(?:account|card|policy|share) ?holder(?: name)?|cardholder|borrower|guarantor|insured|"
    r"applicant|signed(?: by)?|attn|attention|patient|tenant|recipient|sender|addressee|"
    r"contact(?: person)?|employee|customer|client|(?:full|first|last|customer|contact|user)_?name"
)
_WEAK = re.compile(
    r"(?i)(?<![a-z])(?:i am|i'm|this is|thanks|from|to|"
    r"by|with|for|and|wife|husband|son|daughter|mother|father|brother|sister|colleague|manager|"
    r"mum|mom|dad|friend|named|called|ask|asked|told|speak to)[,:]?\s{1,2}$"
)
_LETTER = re.compile(
    r"(?i)(?<![a-z])(?:dear|hi|hello|hey|regards|sincerely|yours|faithfully|cheers|best wishes)"
    r",?\s{1,2}$"
)
_LOWER = re.compile(
    r"(?i)(?<![a-z])(?:my name is|name ?:|i am|i'm|this is) "
    r"(?P<value>[a-z'’-]{2,24} [a-z'’-]{2,24})(?![a-z])"
)


class EnglishNames:
    """Runs of capitalised words that hold a name."""

    def __init__(self) -> None:
        self._given = words("given_names")
        self._unsure = words("given_names_and_words")
        self._family = words("surnames")
        self._any_family = self._family | words("surnames_and_words")
        self._no_name = words("capitalised")

    def find(self, text: str) -> Iterator[Found]:
        """See :class:`pretune.data.privacy.found.Recogniser`."""
        for run in _RUN.finditer(text):
            parts = [part.span() for part in _WORD.finditer(text, *run.span())]
            yield from self._names(text, parts)
        for match in _LOWER.finditer(text):
            given, family = match["value"].title().split(" ")
            if given in self._given and family in self._any_family:
                yield _found(text, *match.span("value"), 0.7)

    def _names(self, text: str, parts: list[tuple[int, int]]) -> Iterator[Found]:
        """The names in one run; a part belongs to one name at most."""
        at = 0
        while at < len(parts):
            before = text[max(0, parts[at][0] - WINDOW) : parts[at][0]]
            length = self._rest(text, parts[at:])
            certainty = 0.0
            if not length or _TITLE.fullmatch(text[slice(*parts[at])]):
                length = 0
            elif _TITLE_BEFORE.search(before):
                certainty = 0.9
            elif _STRONG.search(before):
                certainty = 0.85
            else:
                certainty = self._by_lists(text, parts[at : at + length], before)
            if certainty:
                yield _found(text, parts[at][0], parts[at + length - 1][1], certainty)
            at += length if certainty else 1

    def _rest(self, text: str, parts: list[tuple[int, int]]) -> int:
        """How many of ``parts``, from the first on, may be one name: up to four."""
        length = 0
        for start, end in parts[:4]:
            word = text[start:end].removesuffix("'s").removesuffix("’s")
            if word in self._no_name and not (word in self._unsure and length == 0):
                break
            length += 1
        return length

    def _by_lists(self, text: str, parts: list[tuple[int, int]], before: str) -> float:
        said = [text[start:end].removesuffix("'s").removesuffix("’s") for start, end in parts]
        said = [word.title() if word.isupper() and len(word) > 2 else word for word in said]
        first, last = said[0], said[-1]
        if len(said) == 1:
            known = first in self._given or first in self._unsure
            return 0.7 if known and (_WEAK.search(before) or _LETTER.search(before)) else 0.0
        if first in self._given:
            return 0.8
        if first in self._unsure and last in self._any_family:
            return 0.75
        if any(word in self._given for word in said[1:-1]):
            return 0.0  # "Pay John Smith": the name begins later
        if last in self._family:
            return 0.65
        if _LETTER.search(before) or (first in self._unsure and _WEAK.search(before)):
            return 0.65
        return 0.0


def _found(text: str, start: int, end: int, certainty: float) -> Found:
    for suffix in ("'s", "’s"):
        if text.endswith(suffix, start, end):
            end -= len(suffix)
    return Found(start, end, PrivateType.PERSON, squeezed(text[start:end]), certainty)


RECOGNISERS = (EnglishNames(),)
