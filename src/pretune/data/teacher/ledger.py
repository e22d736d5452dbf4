"""Answers and calls on disk: what was paid for is never paid for again, and nothing paid is
forgotten."""

import contextlib
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from pretune.core.errors import StorageError
from pretune.data.teacher.ask import Ask, Outcome, Reply
from pretune.spec.teacher import PriceSpec

_TABLES = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, text TEXT, whole INTEGER, prompt_tokens INTEGER, answer_tokens INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS calls (
    number INTEGER PRIMARY KEY, key TEXT, outcome TEXT, tokens INTEGER, money REAL
);
CREATE TABLE IF NOT EXISTS given_up (key TEXT PRIMARY KEY, runs INTEGER) WITHOUT ROWID;
"""


class Spent(NamedTuple):
    """What calls have cost."""

    calls: int = 0
    tokens: int = 0
    money: float = 0.0

    def __add__(self, other: object) -> "Spent":
        if not isinstance(other, Spent):
            return NotImplemented
        money = self.money + other.money
        return Spent(self.calls + other.calls, self.tokens + other.tokens, money)


class Ledger:
    """One SQLite file. Every change is on the disk before its method returns; threads may share it.

    A call is written down before it is made, at the most that it can cost, and corrected when it
    ends: one that died with the process stays at its most.
    """

    def __init__(self, path: Path, prices: PriceSpec | None = None) -> None:
        self._path = path
        self._prices = prices
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._base = sqlite3.connect(path, check_same_thread=False)
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = FULL")
            self._base.executescript(_TABLES)
        except sqlite3.Error as error:
            raise StorageError(
                f'"{path}" is no file of answers ({error}); move it away, or name another folder'
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._base.close()

    def answer(self, key: str) -> Reply | None:
        """The answer kept under ``key``; what the endpoint refused is kept as an empty one."""
        rows = self._run(
            "SELECT text, whole, prompt_tokens, answer_tokens FROM answers WHERE key = ?", key
        )
        return Reply(rows[0][0], bool(rows[0][1]), rows[0][2], rows[0][3]) if rows else None

    def spent(self) -> Spent:
        """What all calls of all runs cost."""
        ((calls, tokens, money),) = self._run(
            "SELECT count(*), coalesce(sum(tokens), 0), coalesce(sum(money), 0.0) FROM calls"
        )
        return Spent(calls, tokens, money)

    def outcomes(self) -> Counter[str]:
        """How the calls of all runs ended."""
        return Counter(dict(self._run("SELECT outcome, count(*) FROM calls GROUP BY outcome")))

    def at_most(self, ask: Ask) -> Spent:
        """What a call can cost."""
        return self._cost(ask.most_tokens - ask.max_tokens, ask.max_tokens)

    def begin(self, key: str, ask: Ask) -> int:
        """Write down a call that is about to be made; its number."""
        cost = self.at_most(ask)
        with self._lock, self._writing():
            cursor = self._base.execute(
                "INSERT INTO calls (key, outcome, tokens, money) VALUES (?, ?, ?, ?)",
                (key, Outcome.SENT, cost.tokens, cost.money),
            )
            return int(cursor.lastrowid or 0)

    def end(self, call: int, key: str, reply: Reply) -> Spent:
        """Keep the answer of a call; what it cost."""
        cost = self._cost(reply.prompt_tokens, reply.answer_tokens)
        with self._lock, self._writing():
            self._base.execute(
                "UPDATE calls SET outcome = ?, tokens = ?, money = ? WHERE number = ?",
                (Outcome.ANSWERED, cost.tokens, cost.money, call),
            )
            self._base.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)",
                (key, reply.text, reply.whole, reply.prompt_tokens, reply.answer_tokens),
            )
        return cost

    def fail(self, call: int, outcome: Outcome, ask: Ask) -> Spent:
        """A call ended without an answer; what it counts."""
        cost = self.at_most(ask) if outcome.may_cost else Spent(1)
        with self._lock, self._writing():
            self._base.execute(
                "UPDATE calls SET outcome = ?, tokens = ?, money = ? WHERE number = ?",
                (outcome, cost.tokens, cost.money, call),
            )
        return cost

    def refuse(self, key: str) -> None:
        """Keep that there is no answer under ``key``."""
        with self._lock, self._writing():
            self._base.execute("INSERT OR REPLACE INTO answers VALUES (?, '', 0, 0, 0)", (key,))

    def give_up(self, key: str) -> int:
        """All tries for ``key`` failed in this run; in how many runs so far."""
        with self._lock, self._writing():
            self._base.execute(
                "INSERT INTO given_up VALUES (?, 1) ON CONFLICT DO UPDATE SET runs = runs + 1",
                (key,),
            )
        return int(self._run("SELECT runs FROM given_up WHERE key = ?", key)[0][0])

    def _cost(self, prompt_tokens: int, answer_tokens: int) -> Spent:
        money = 0.0
        if self._prices is not None:
            money = (
                prompt_tokens * self._prices.prompt + answer_tokens * self._prices.answer
            ) / 1e6
        return Spent(1, prompt_tokens + answer_tokens, money)

    def _run(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        with self._lock, self._writing():
            return self._base.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with self._base:
                yield
        except sqlite3.Error as error:
            raise StorageError(f'cannot use "{self._path}": {error}; free space') from error
