"""What the server tells those who count. Tasks' names are the catalogue's, never a client's."""

from dataclasses import dataclass
from typing import Protocol

from pretune.engine.engine import Stats


@dataclass(frozen=True, slots=True)
class Served:
    """One request that ended: seconds from its arrival to its first and its last token (``None``
    where it had none), tokens read and written, and the HTTP status or the client's leaving."""

    task: str
    outcome: str
    seconds: float
    first: float | None
    prompt_tokens: int
    new_tokens: int


class Meter(Protocol):
    """Counts, and shows its counts."""

    def served(self, one: Served) -> None:
        """Take note of a request."""

    def exposition(self, stats: Stats) -> tuple[bytes, str]:
        """All counts and the engine's ``stats``, with their content type."""
