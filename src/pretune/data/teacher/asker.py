"""Asks a teacher with patience: cache first, then budget, pace, tries and back-off."""

import threading

from pretune.core.errors import BudgetError, TeacherError
from pretune.data.teacher.ask import Ask, CallFailed, Outcome, Reply, Teacher
from pretune.data.teacher.ledger import Ledger, Spent
from pretune.data.teacher.pace import Pace
from pretune.spec.teacher import BudgetSpec, TeacherSpec

_FIRST_WAIT, _LONGEST_BACK_OFF = 1.0, 60.0
"""Seconds before the second try, doubled for each further one up to a minute."""

_RUNS = 3
"""Runs that one ask may end; then it is left out, lest it keep all others from being asked."""


class Asker:
    """Threads may share it."""

    def __init__(
        self,
        teacher: Teacher,
        ledger: Ledger,
        budget: BudgetSpec,
        pace: Pace,
        *,
        tries: int = 1,
        longest_wait: float = _LONGEST_BACK_OFF,
    ) -> None:
        self._teacher = teacher
        self._ledger = ledger
        self._budget = budget
        self._pace = pace
        self._tries = tries
        self._longest_wait = longest_wait
        self._free = threading.Condition()
        self._spent = ledger.spent()
        self._answered = bool(ledger.outcomes()[Outcome.ANSWERED])
        self._asked: set[str] = set()
        self._under_way = 0
        self.from_cache = 0

    @classmethod
    def of(
        cls, spec: TeacherSpec | None, budget: BudgetSpec, teacher: Teacher, ledger: Ledger
    ) -> "Asker":
        """At the pace and with the patience that ``spec`` says; a model of this machine needs
        neither."""
        endpoint = spec.endpoint if spec else None
        if endpoint is None:
            return cls(teacher, ledger, budget, Pace())
        pace = Pace(endpoint.calls_per_minute, endpoint.tokens_per_minute)
        tries, longest = endpoint.tries, endpoint.longest_wait
        return cls(teacher, ledger, budget, pace, tries=tries, longest_wait=longest)

    @property
    def spent(self) -> Spent:
        """What all runs have cost; calls under way count at their most."""
        return self._spent

    def ask(self, ask: Ask) -> Reply | None:
        """The answer; ``None`` where the teacher refuses to give one.

        Raises:
            BudgetError: it would cost more than is left.
            TeacherError: no try succeeded.
        """
        key = ask.key(self._teacher.model)
        with self._free:
            while key in self._asked:  # by another thread, whose answer will do
                self._free.wait()
            self._asked.add(key)
        try:
            kept = self._ledger.answer(key)
            if kept is None:
                kept = self._paid(key, ask)
            else:
                self.from_cache += 1
        except TeacherError as error:
            self._pace.stop(str(error))
            raise
        finally:
            with self._free:
                self._asked.discard(key)
                self._free.notify_all()
        return kept if kept.text or kept.whole else None

    def stop(self) -> None:
        """Let no call begin any more."""
        self._pace.stop("stopped; run the same command again to go on")

    def _paid(self, key: str, ask: Ask) -> Reply:
        for number in range(self._tries):
            try:
                return self._call(key, ask)
            except CallFailed as error:
                failed = error
            if failed.outcome is Outcome.REFUSED:
                return self._refused(key, failed)
            own = min(_FIRST_WAIT * 2**number, _LONGEST_BACK_OFF, self._longest_wait)
            wait = own if failed.wait is None else failed.wait
            if wait > self._longest_wait:
                raise TeacherError(
                    f"the teacher asks for {wait:,.0f} seconds of rest, more than longest_wait; "
                    "run the same command later: all answers are kept"
                )
            if number + 1 < self._tries:
                self._pace.rest(wait, everybody=failed.outcome is Outcome.RATE_LIMITED)
        if self._ledger.give_up(key) >= _RUNS:
            self._ledger.refuse(key)
            return _NO_ANSWER
        raise TeacherError(
            f"the teacher gave no answer in {self._tries} tries; the last one {failed.outcome} "
            f"({failed.detail}); run the same command later: all answers are kept"
        )

    def _refused(self, key: str, failed: CallFailed) -> Reply:
        """This ask has no answer; where nothing was ever answered, the settings are wrong."""
        if not self._answered:
            raise TeacherError(
                f"the teacher refuses what it is sent ({failed.detail}); check url, model and "
                "max_tokens"
            )
        self._ledger.refuse(key)
        return _NO_ANSWER

    def _call(self, key: str, ask: Ask) -> Reply:
        most = self._reserve(ask)
        cost = most
        try:
            self._pace.wait(most.tokens)
            call = self._ledger.begin(key, ask)
            try:
                reply = self._teacher.call(ask)
            except CallFailed as error:
                cost = self._ledger.fail(call, error.outcome, ask)
                raise
            except TeacherError:
                cost = self._ledger.fail(call, Outcome.REFUSED, ask)
                raise
            cost = self._ledger.end(call, key, reply)
            self._answered = True
            return reply
        finally:
            with self._free:
                self._spent = self._spent + _less(cost, most)
                self._under_way -= 1
                self._free.notify_all()

    def _reserve(self, ask: Ask) -> Spent:
        """Set aside what the call can cost; wait for calls under way, which may cost less."""
        most = self._ledger.at_most(ask)
        with self._free:
            while (over := self._over(self._spent + most)) and self._under_way:
                self._free.wait()
            if over:
                raise BudgetError(
                    f"the budget is spent: the next call could go beyond {over}; raise it and run "
                    "the same command again: all answers are kept"
                )
            self._spent = self._spent + most
            self._under_way += 1
        return most

    def _over(self, spent: Spent) -> str | None:
        budget = self._budget
        limits = {"calls": budget.calls, "tokens": budget.tokens, "money": budget.money}
        for name, limit in limits.items():
            if limit is not None and getattr(spent, name) > limit:
                return f"budget.{name}: {limit:,}"
        return None


_NO_ANSWER = Reply("", False, 0, 0)


def _less(cost: Spent, most: Spent) -> Spent:
    return Spent(cost.calls - most.calls, cost.tokens - most.tokens, cost.money - most.money)
