"""Operators that let somebody else write a text anew, and what is asked of the new one."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

from pretune.data.augment.carrying import carried
from pretune.data.augment.entities import Names
from pretune.data.augment.likeness import unlike
from pretune.data.augment.operator import Operator
from pretune.data.augment.refusal import Fault, Refused
from pretune.data.augment.varied import Varied
from pretune.data.teacher.ask import Ask
from pretune.data.teacher.asker import Asker
from pretune.spec.rewriting import RewriteSpec


class Rewritten(NamedTuple):
    """A text written anew; ``pivot``: what it was between, if anything."""

    text: str
    pivot: str | None = None


@dataclass(frozen=True)
class Asking:
    """Who is asked and how: operators share one. ``known``: names that must survive."""

    spec: RewriteSpec
    asker: Asker
    known: Names

    def ask(self, system: str, user: str, rng: Random) -> str:
        """The whole answer.

        Raises:
            Refused: there is none, or no whole one.
            BudgetError: it would cost more than is left. TeacherError: nobody answers any more.
        """
        how = self.spec.teacher or self.spec.translators
        assert how is not None
        # The same question with the same seed is the same ask: it is answered from the cache.
        seed = rng.getrandbits(31)
        reply = self.asker.ask(Ask(system, user, how.max_tokens, how.temperature, seed))
        if reply is None:
            raise Refused(Fault.NO_ANSWER, "")
        if not reply.whole:
            raise Refused(Fault.CUT, reply.text)
        return reply.text


class Rewriter(Operator):
    """Writes each text of the user's anew. Deterministic in the row, the generator and the
    answers, which are kept. Threads may share it."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    @abstractmethod
    def rewrite(self, text: str, rng: Random) -> Rewritten:
        """``text`` anew.

        Raises:
            Refused: what came back cannot be used. BudgetError, TeacherError: see :class:`Asking`.
        """

    def vary(self, row: Varied, rng: Random) -> Mapping[str, Any] | None:
        """Rewrite what the user says; a context stays as it is.

        Raises:
            Refused: a text that lost what must survive, or is no variant.
        """
        changed: Mapping[str, Any] = row.fields
        for column, text in row.texts.items():
            if column not in row.columns.said:
                continue
            new, pivot = self.rewrite(text, rng)
            if fault := unlike(new, text, self._asking.spec.checks, pivot):
                raise Refused(fault, new)
            changed = carried(Varied(changed, row.columns), column, new, self._asking.known)
        return None if changed is row.fields else changed
