"""Texts to what is private in them."""

from collections.abc import Collection, Sequence

from pretune.data.privacy.folding import fold
from pretune.data.privacy.found import Found, PrivateType, Recogniser, resolve
from pretune.data.privacy.pseudonyms import PSEUDONYM
from pretune.data.privacy.recognisers import RECOGNISERS

_LONGEST_CUED = 120
"""A longer cell is a text of its own, and its column's name no cue."""


class Detector:
    """Finds what is private, of some types, with some recognisers.

    Pseudonyms are left alone, so masking twice changes nothing more.
    """

    def __init__(
        self,
        types: Collection[PrivateType] = tuple(PrivateType),
        recognisers: Sequence[Recogniser] = RECOGNISERS,
    ) -> None:
        self._types = frozenset(types)
        self._recognisers = tuple(recognisers)

    def find(self, text: str, column: str = "") -> list[Found]:
        """What is private in ``text``, in order, without overlap; places are those of ``text``.

        ``column``: the name of the cell; ``phone`` before digits is a cue.
        """
        if not text:
            return []
        lead = f"{column}: " if column and len(text) <= _LONGEST_CUED else ""
        folded = fold(lead + text)
        unmasked = PSEUDONYM.sub(lambda match: "\0" * len(match[0]), folded.text)
        found = [
            one
            for recogniser in self._recognisers
            for one in recogniser.find(unmasked)
            if one.type in self._types and one.end > len(lead)
        ]
        places = (
            (one, *folded.source(max(one.start, len(lead)), one.end))
            for one in resolve(folded.text, found)
        )
        return [
            one._replace(start=start - len(lead), end=end - len(lead))
            for one, start, end in places
            if start >= len(lead)
        ]
