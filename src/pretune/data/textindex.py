"""Full-text search: BM25 over any number of texts, on disk (SQLite's FTS5)."""

import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

from pretune.data.terms import terms

_LONGEST_QUERY = 64
"""Different words of a query that count; a question has fewer."""


class TextIndex:
    """Texts by number, found by their words. Threads may share it.

    Words are kept as hex of their UTF-8, so that SQLite's tokenizer takes them as they are.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Begin empty: in the file ``path``, whose content is lost, or in memory."""
        if path is not None:
            path.unlink(missing_ok=True)
        self._path = path
        self._lock = threading.Lock()
        self._base = sqlite3.connect(path or ":memory:", check_same_thread=False)
        self._base.execute("PRAGMA journal_mode = OFF")  # rebuilt, never recovered
        self._base.execute("PRAGMA synchronous = OFF")
        self._base.execute(
            "CREATE VIRTUAL TABLE texts USING fts5(words, raw UNINDEXED, tokenize = 'ascii')"
        )

    def add(self, texts: Iterable[tuple[int, str, str]]) -> None:
        """Take in texts, each under a number of its own, and what to give back when it is found."""
        rows = ((number, " ".join(map(_hex, terms(text))), raw) for number, text, raw in texts)
        with self._lock, self._base:
            self._base.executemany("INSERT INTO texts (rowid, words, raw) VALUES (?, ?, ?)", rows)

    def search(self, query: str, most: int) -> list[tuple[int, str]]:
        """Numbers of the ``most`` texts that ``query`` fits best and what was to be given back,
        best first; of equals the lowest number first. Texts without a word of it are left out."""
        words = list(dict.fromkeys(terms(query)))[:_LONGEST_QUERY]
        if not words:
            return []
        match = " OR ".join(f'"{_hex(word)}"' for word in words)
        with self._lock:
            return self._base.execute(
                "SELECT rowid, raw FROM texts WHERE texts MATCH ? "
                "ORDER BY bm25(texts), rowid LIMIT ?",
                (match, most),
            ).fetchall()

    def close(self) -> None:
        """Let go of the file, which goes away."""
        self._base.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _hex(word: str) -> str:
    return word.encode("utf-8", "replace").hex()
