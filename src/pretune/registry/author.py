"""Who changes something, when, and why: what a task's history keeps of each change."""

import getpass
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypedDict


class Stamp(TypedDict):
    """What every entry of a history has."""

    at: str
    by: str
    why: str


@dataclass(frozen=True)
class Author:
    """Somebody, with a reason."""

    by: str = ""
    why: str = ""

    @classmethod
    def of_process(cls, why: str = "") -> "Author":
        """The user that this process runs as."""
        try:
            return cls(getpass.getuser(), why)
        except (KeyError, OSError):  # users of containers often have no name
            return cls(f"user {os.getuid()}", why)

    def stamp(self) -> Stamp:
        """This author, now."""
        return Stamp(at=now(), by=self.by, why=self.why)


NOBODY = Author()


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
