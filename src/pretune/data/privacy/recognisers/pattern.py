"""The two shapes of most recognisers: an expression with a check, and one that wants a cue."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pretune.data.privacy.found import Found, PrivateType

Check = Callable[[str], str | None]
"""What a matched text stands for, in one spelling; ``None`` where it is not what it looked like."""

START = r"(?<![A-Za-z0-9])"
END = r"(?![A-Za-z0-9])"
"""No ASCII letter or digit beside; a Chinese character may be."""

BETWEEN = (
    r"""["'”』」]?[ \t]{0,3}(?:\([^()\n]{0,16}\))?"""
    r"""(?:(?:is|was|are|numbers?|no\.?|num|details|id|号码|号|码|是|为|[:=#])[ \t]{0,3}){0,4}"""
    r"""["'“『「(\[]?"""
)
"""What may stand between a cue and its value: ``"account number": "``, ``账号是``."""

ANYTHING = re.compile("")
DIGITS = re.compile(r"\d.{0,3}\d", re.DOTALL)
HAN = re.compile("[\u4e00-\u9fff]")

WINDOW = 40
"""Characters before a value in which its cue must stand."""


def cue(words: str) -> re.Pattern[str]:
    """Matches at the end of what stands before a value; ``words`` are alternatives."""
    return re.compile(rf"(?i)(?<![a-z])(?:{words}){BETWEEN}$")


def squeezed(text: str) -> str:
    """``text`` in one case and with single spaces."""
    return " ".join(text.casefold().split())


def joined(text: str) -> str:
    """Letters and digits of ``text``, capital."""
    return "".join(filter(str.isalnum, text)).upper()


def digits_of(text: str) -> str:
    """Its digits."""
    return "".join(filter(str.isdigit, text))


@dataclass(frozen=True)
class Pattern:
    """What ``expression`` matches (its group ``value``, if it has one) and ``check`` lets pass;
    with ``cues``, only after one of them. ``needs`` is quick, and finds nothing where
    ``expression`` could not."""

    type: PrivateType
    expression: re.Pattern[str]
    certainty: float
    check: Check = squeezed
    cues: re.Pattern[str] | None = None
    needs: re.Pattern[str] = ANYTHING

    def find(self, text: str) -> Iterator[Found]:
        """See :class:`pretune.data.privacy.found.Recogniser`."""
        if not self.needs.search(text):
            return
        group = "value" if "value" in self.expression.groupindex else 0
        for match in self.expression.finditer(text):
            start, end = match.span(group)
            if self.cues and not self.cues.search(text[max(0, start - WINDOW) : start]):
                continue
            value = self.check(match[group])
            if value is not None:
                yield Found(start, end, self.type, value, self.certainty)
