"""What asking has cost, and how far it is."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from pretune.data.teacher.asker import Asker
from pretune.data.teacher.ledger import Ledger, Spent
from pretune.spec.teacher import TeacherSpec


@dataclass(frozen=True)
class Standing:
    """How far a step is: pieces ``done`` ``of`` so many, where that is known, rows kept and
    rejected. ``spent`` is of all runs on the folder, calls under way at their most."""

    done: int
    of: int | None
    kept: int
    rejected: int
    spent: Spent


@dataclass(frozen=True)
class Bill:
    """What all runs on a folder cost, by how the calls ended too. ``from_cache``: answers that this
    run found there."""

    spent: Spent
    calls: Counter[str]
    from_cache: int
    currency: str

    @classmethod
    def of(cls, ledger: Ledger, asker: Asker, teacher: TeacherSpec | None) -> "Bill":
        """As ``ledger`` has it now."""
        return cls(ledger.spent(), ledger.outcomes(), asker.from_cache, currency_of(teacher))

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "spent": {**self.spent._asdict(), "currency": self.currency},
            "calls": dict(self.calls),
            "from_cache": self.from_cache,
        }


def currency_of(teacher: TeacherSpec | None) -> str:
    """What stands behind amounts of money."""
    endpoint = teacher.endpoint if teacher else None
    return endpoint.prices.currency if endpoint and endpoint.prices else ""
