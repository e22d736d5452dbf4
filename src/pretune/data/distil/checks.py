"""Checks of one pair against its chunk: cheap ones that need no teacher."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pretune.data.distil.pairs import Fault, Judged, Pair
from pretune.data.distil.prompts import Prompts
from pretune.data.language import foreign, other_script
from pretune.data.terms import names, numbers, squeezed, terms
from pretune.data.textindex import TextIndex
from pretune.spec.distil import CheckSpec, QuestionType

_LONGEST_QUESTION = 500
_SHORTEST_SUPPORT = 4
"""Letters and digits of a quote; fewer are found anywhere."""

_STEP = re.compile(r"^\s*\(?\d{1,2}[.)、）](?!\d)\s*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Source:
    """A chunk as questions are asked about it; ``number`` is its place in the index."""

    number: int
    id: str
    document: str
    headings: tuple[str, ...]
    text: str
    prompts: Prompts

    @property
    def whole(self) -> str:
        """Headings and text: what the teacher sees, what is searched, and a row's context."""
        return "\n\n".join(filter(None, (" > ".join(self.headings), self.text)))


def check(pair: Pair, source: Source, index: TextIndex, spec: CheckSpec) -> Judged:
    """Whether ``pair`` is grounded in ``source``, and finds it again among all chunks."""
    fault, detail, coverage = _grounded(pair, source, spec)
    checks = {} if coverage is None else {"coverage": round(coverage, 3)}
    if fault is None:
        found = [number for number, _ in index.search(pair.question, spec.found_within)]
        if source.number in found:
            checks["found"] = round(1 / (1 + found.index(source.number)), 3)
        else:
            fault = Fault.ROUND_TRIP
            detail = f"not among the first {spec.found_within}"
    return Judged(pair.type, pair, fault, detail, checks=checks)


def _grounded(
    pair: Pair, source: Source, spec: CheckSpec
) -> tuple[Fault | None, str, float | None]:
    """Fault, detail and coverage of a pair by the words of its chunk alone."""
    answered = pair.type is not QuestionType.UNANSWERABLE
    if not pair.question or not pair.answer:
        return Fault.EMPTY, "", None
    if len(pair.question) > _LONGEST_QUESTION:
        return Fault.EMPTY, f"a question of more than {_LONGEST_QUESTION} characters", None
    if answered and squeezed(pair.question) in squeezed(pair.answer):
        return Fault.STATED, "", None
    if source.prompts.refers(pair.question):
        return Fault.REFERS, "", None
    whole = squeezed(source.whole)
    shown = foreign(pair.question, source.whole)
    # A name that the text writes in another script may be an answer in that script.
    if answered and squeezed(pair.answer) not in whole:
        shown = shown or other_script(pair.answer, source.whole)
    if shown:
        return Fault.LANGUAGE, shown, None
    if not answered:
        return None, "", None

    quote = squeezed(pair.support)
    if len(quote) < _SHORTEST_SUPPORT or quote not in whole:
        return Fault.SUPPORT, "", None
    given = f"{pair.support}\n{pair.question}\n{' '.join(source.headings)}"
    answer = _STEP.sub("", pair.answer)
    if new := numbers(answer) - numbers(given) or numbers(pair.question) - numbers(source.whole):
        return Fault.NUMBERS, f"{len(new)} of them", None
    known = squeezed(given)
    if new := {name for name in names(answer) if squeezed(name) not in known}:
        return Fault.NAMES, f"{len(new)} of them", None
    if new := {name for name in names(pair.question) if squeezed(name) not in whole}:
        return Fault.NAMES, f"{len(new)} of the question", None
    words, held = set(terms(answer)), set(terms(source.whole)) | numbers(source.whole)
    # A Chinese character alone is half of a pair in the text.
    held |= {word for word in words if len(word) == 1 and word in whole}
    coverage = len(words & held) / len(words) if words else 0.0
    if coverage < spec.coverage:
        return Fault.COVERAGE, f"{coverage:.0%} of its words", coverage
    return None, "", coverage


def found_texts(question: str, index: TextIndex, most: int) -> Sequence[str]:
    """What ``question`` finds among all chunks."""
    return [text for _, text in index.search(question, most)]
