"""What a text that is written anew must still hold, and where annotations are in it then."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pretune.data.augment.edits import Span
from pretune.data.augment.entities import Names, found_in
from pretune.data.augment.refusal import Fault, Refused
from pretune.data.augment.varied import Varied
from pretune.data.privacy.pseudonyms import PSEUDONYM
from pretune.data.terms import folded, names, numbers, squeezed


def carried(row: Varied, column: str, new: str, known: Names) -> Mapping[str, Any]:
    """The fields of ``row`` with ``new`` in ``column``, and annotations where their texts are now.

    Raises:
        Refused: something that must survive did not.
    """
    old = row.fields[column]
    if _pseudonyms(old) != _pseudonyms(new):
        raise Refused(Fault.MASKED, new)
    if numbers(old) != numbers(new):
        raise Refused(Fault.NUMBERS, new)
    if any(_written(old[slice(*span)]) not in _written(new) for _, span in found_in(old, known)):
        raise Refused(Fault.VALUES, new)
    if _lost(old, new) or _lost(new, old):
        raise Refused(Fault.NAMES, new)
    for answer in row.answers:
        if folded(answer) in folded(old) and folded(answer) not in folded(new):
            raise Refused(Fault.TARGET, new)
    places = {span: _place(old, span, new) for span in row.spans(column)}
    return row.replaced(column, new, places)


def _place(old: str, span: Span, new: str) -> Span:
    """Where in ``new`` the text of ``span`` is: the same one of as many."""
    said = re.compile(_alone(old[slice(*span)]))
    before = [Span(*match.span()) for match in said.finditer(old)]
    after = [Span(*match.span()) for match in said.finditer(new)]
    if span not in before or len(before) != len(after):
        raise Refused(Fault.SPANS, new)
    return after[before.index(span)]


def _alone(text: str) -> str:
    """A pattern of ``text`` that is not part of a longer word or number of ASCII."""
    before = r"(?<![A-Za-z0-9])" if text[:1].isascii() and text[:1].isalnum() else ""
    after = r"(?![A-Za-z0-9])" if text[-1:].isascii() and text[-1:].isalnum() else ""
    return f"{before}{re.escape(text)}{after}"


def _lost(old: str, new: str) -> bool:
    """Whether ``new`` lacks a name of ``old``; pseudonyms are looked at apart."""
    held = squeezed(new)
    return any(squeezed(name) not in held for name in names(PSEUDONYM.sub(" ", old)))


def _pseudonyms(text: str) -> Counter[str]:
    return Counter(match[0] for match in PSEUDONYM.finditer(text))


def _written(text: str) -> str:
    """``text`` but for width, case and space."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())
