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
        # Folded as the text is, so that places in both are counted alike.
        lead = fold(f"{column}: ").text if column and len(text) <= _LONGEST_CUED else ""
        folded = fold(text)
        whole = lead + folded.text
        unmasked = PSEUDONYM.sub(lambda match: "\0" * len(match[0]), whole)
        found = [
            one
            for recogniser in self._recognisers
            for one in recogniser.find(unmasked)
            if one.type in self._types and one.end > len(lead)
        ]
        places = (
            (one, max(0, one.start - len(lead)), one.end - len(lead))
            for one in resolve(whole, found)
        )
        return [
            one._replace(start=start, end=end)
            for one, first, last in places
            if last > 0
            for start, end in [folded.source(first, last)]
        ]
