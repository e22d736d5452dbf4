"""What the server tells those who count. Tasks' names are the catalogue's, never a client's."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from pretune.engine.engine import Begun, Stats


@dataclass(frozen=True, slots=True)
class Served:
    """One request that ended: seconds from its arrival to its end and to its first token (``None``
    where it had none), tokens read and written, the HTTP status or the client's leaving, the
    version that answered, how each of its answers came in, and the ``gaps``, seconds from each
    token to the next of the same answer."""

    task: str
    outcome: str
    seconds: float
    first: float | None
    prompt_tokens: int
    new_tokens: int
    version: str = ""
    begun: tuple[Begun, ...] = ()
    gaps: tuple[float, ...] = ()


class Meter(Protocol):
    """Counts, and shows its counts."""

    def served(self, one: Served) -> None:
        """Take note of a request."""

    def shadowed(self, task: str, version: str, result: str) -> None:
        """Take note of what came of asking a shadow: ``agrees``, ``differs``, ``failed``, or
        ``skipped`` as there was too much to do."""

    def keep(self, versions: Collection[tuple[str, str]]) -> None:
        """Forget the counts of versions (each a task and a version) that are served no more."""

    def exposition(self, stats: Stats) -> tuple[bytes, str]:
        """All counts and the engine's ``stats``, with their content type."""
