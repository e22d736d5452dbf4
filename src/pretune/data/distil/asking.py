"""Asks about one chunk: each type in turn, with what was asked before."""

from dataclasses import dataclass, field, replace

from pretune.core.errors import BudgetError
from pretune.data.distil.checks import Source, check, found_texts
from pretune.data.distil.pairs import Fault, Judged, Junk, Pair, form_of, parse
from pretune.data.teacher.ask import Ask
from pretune.data.teacher.asker import Asker
from pretune.data.terms import agreement, squeezed
from pretune.data.textindex import TextIndex
from pretune.spec.distil import DistilSpec, QuestionType

_SEEDS = 1_000_000
"""Seeds apart from each other: a try never asks as another seed's first try does."""


@dataclass
class Questions:
    """What came of a chunk, in order; ``none`` are types of which it offers nothing, ``unasked``
    what the budget did not reach."""

    source: Source
    judged: list[Judged] = field(default_factory=list)
    none: list[QuestionType] = field(default_factory=list)
    unasked: BudgetError | None = None


class Questioner:
    """Threads may share it."""

    def __init__(self, spec: DistilSpec, asker: Asker, index: TextIndex) -> None:
        self._spec, self._asker, self._index = spec, asker, index

    def about(self, source: Source) -> Questions:
        """Ask for every type of question; a spent budget ends it and is noted.

        Raises:
            TeacherError: the teacher answers no more.
        """
        made = Questions(source)
        try:
            for kind, count in self._spec.questions.items():
                self._ask(kind, count, made)
        except BudgetError as error:
            made.unasked = error
        return made

    def _ask(self, kind: QuestionType, count: int, made: Questions) -> None:
        source = made.source
        before = [one.pair.question for one in made.judged if one.pair and not one.fault]
        prompt = source.prompts.ask(kind, count, source.headings, source.text, before)
        form = form_of(count) if self._spec.teacher.held else ""
        for number in range(self._spec.tries):
            reply = self._asker.ask(self._of(prompt, number, form))
            try:
                pairs = parse(reply, kind, source.prompts)
            except Junk as junk:
                text = reply.text if reply else ""
                made.judged.append(Judged(kind, None, junk.fault, text=text))
                if junk.fault is Fault.NO_ANSWER:
                    return
                continue
            if not pairs:
                made.none.append(kind)
            for pair in pairs[:count]:
                made.judged.append(self._judge(pair, source))
            return

    def _judge(self, pair: Pair, source: Source) -> Judged:
        nowhere = source.prompts.nowhere
        if pair.type is QuestionType.UNANSWERABLE:
            pair = replace(pair, answer=nowhere, support="")
        judged = check(pair, source, self._index, self._spec.checks)
        if judged.fault is not None or pair.type not in self._spec.checks.asked_again:
            return judged
        texts = found_texts(pair.question, self._index, self._spec.checks.found_within)
        reply = self._asker.ask(self._of(source.prompts.ask_again(pair.question, texts), 0))
        if reply is None or not reply.whole:
            return replace(judged, fault=Fault.DISAGREES, detail="it gave no whole answer")
        if pair.type is QuestionType.UNANSWERABLE:
            agreed = float(squeezed(reply.text).startswith(squeezed(nowhere)))
        else:
            agreed = agreement(pair.answer, reply.text)
        judged.checks["agreed"] = round(agreed, 3)
        if agreed < self._spec.checks.agreement:
            return replace(judged, fault=Fault.DISAGREES, detail=f"agreement {agreed:.2f}")
        return judged

    def _of(self, prompt: tuple[str, str], number: int, form: str = "") -> Ask:
        teacher = self._spec.teacher
        seed = self._spec.seed + number * _SEEDS
        return Ask(*prompt, teacher.max_tokens, teacher.temperature, seed, form)
