"""Where a task stands: its history, and what follows from it."""

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple, Self

from pydantic import Field, model_validator

from pretune.gating.evidence import Verdict
from pretune.registry.version import FORMAT
from pretune.spec.model import Strict


class Change(StrEnum):
    """What may happen to a task."""

    ADD = "add"
    GATE = "gate"
    PROMOTE = "promote"
    ROLL_BACK = "roll back"
    CANARY = "canary"
    SHADOW = "shadow"


class Entry(Strict):
    """One change: ``at`` a time (UTC), to a version's digest, ``by`` somebody, for a reason.

    Without a version, a canary or shadow ends. ``share`` is a canary's, of all requests.
    ``evidence`` is the digest of the gate's report that a gate left with its ``verdict``, or that a
    promotion rests on; ``override`` is why a promotion went without.
    """

    at: str
    what: Change
    version: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    share: float | None = Field(None, gt=0, lt=1)
    evidence: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    verdict: Verdict | None = None
    override: str | None = Field(None, min_length=1)
    by: str = ""
    why: str = ""


class Canary(NamedTuple):
    """A version that answers ``share`` of a task's requests."""

    version: str
    share: float


class Gated(NamedTuple):
    """What the last gate of a version left: the digest of its report, and what it says."""

    evidence: str
    verdict: Verdict


class TaskState(Strict):
    """A task's changes, oldest first. All else follows from them, so nothing can contradict them.

    Raises:
        ValueError: a change that could not have happened.
    """

    format: int = FORMAT
    task: str
    history: tuple[Entry, ...] = ()

    @model_validator(mode="after")
    def _replays(self) -> Self:
        assert self.standing
        return self

    def then(self, entry: Entry) -> "TaskState":
        """The state after one more change."""
        return TaskState(task=self.task, history=(*self.history, entry))

    @property
    def current(self) -> str | None:
        """The version that answers; ``None`` before the first promotion."""
        return self.standing.promoted[-1] if self.standing.promoted else None

    @property
    def previous(self) -> str | None:
        """The version that a roll back returns to."""
        return self.standing.promoted[-2] if len(self.standing.promoted) > 1 else None

    @property
    def canary(self) -> Canary | None:
        """The version that answers some requests instead of the current one."""
        return self.standing.canary

    @property
    def shadow(self) -> str | None:
        """The version that is asked as well, and only counted."""
        return self.standing.shadow

    @property
    def gates(self) -> Mapping[str, Gated]:
        """The last gate of each version that had one."""
        return self.standing.gates

    @property
    def evidence(self) -> frozenset[str]:
        """Every report that the history names."""
        return frozenset(one.evidence for one in self.history if one.evidence)

    @property
    def added(self) -> tuple[str, ...]:
        """Every version there ever was, in the order they were added (last)."""
        return tuple(self.standing.added)

    @property
    def kept(self) -> frozenset[str]:
        """Versions that the task may need: current, previous, canary, shadow, and all that are
        newer than the current one, as they may be meant to be promoted next."""
        added = self.added
        newer = added[added.index(self.current) + 1 :] if self.current else added
        canary = self.canary.version if self.canary else None
        named = {self.current, self.previous, canary, self.shadow, *newer}
        return frozenset(version for version in named if version)

    @cached_property
    def standing(self) -> "Standing":
        """The history taken in."""
        standing = Standing()
        for number, entry in enumerate(self.history, 1):
            try:
                standing.take(entry)
            except ValueError as error:
                raise ValueError(f"change {number} of the history: {error}") from error
        return standing


class Standing:
    """A history taken in entry by entry. ``promoted`` is a stack: a roll back takes one off."""

    def __init__(self) -> None:
        self.added: dict[str, None] = {}
        self.gates: dict[str, Gated] = {}
        self.promoted: list[str] = []
        self.canary: Canary | None = None
        self.shadow: str | None = None

    def take(self, entry: Entry) -> None:
        """Take in the next change.

        Raises:
            ValueError: it could not have happened.
        """
        version = entry.version
        if entry.what is Change.ADD:
            if version is None:
                raise ValueError("adds no version")
            self.added.pop(version, None)
            self.added[version] = None
            return
        if version is not None and version not in self.added:
            raise ValueError(f'names version "{version}", which was never added')
        if entry.what is Change.GATE:
            if version is None or entry.evidence is None or entry.verdict is None:
                raise ValueError("a gate is a version, its evidence and a verdict")
            self.gates[version] = Gated(entry.evidence, entry.verdict)
            return
        if entry.what is Change.CANARY:
            self.canary = self._canary(entry)
        elif entry.what is Change.SHADOW:
            self._need_current()
            self.shadow = version
        else:
            self._move(entry.what, version)
        current = self.promoted[-1]
        if self.canary is not None and self.canary.version == current:
            self.canary = None
        if self.shadow == current:
            self.shadow = None

    def _canary(self, entry: Entry) -> Canary | None:
        self._need_current()
        if (entry.version is None) != (entry.share is None):
            raise ValueError("a canary is a version and a share")
        return Canary(entry.version, entry.share) if entry.version and entry.share else None

    def _move(self, what: Change, version: str | None) -> None:
        if version is None:
            raise ValueError(f"{what} needs a version")
        if what is Change.PROMOTE:
            self.promoted.append(version)
        elif self.promoted[-2:-1] == [version]:
            self.promoted.pop()
        else:
            raise ValueError(f'rolls back to "{version}", which was not the version before')

    def _need_current(self) -> None:
        if not self.promoted:
            raise ValueError("nothing was promoted yet")


def place(task: str, version: str, key: str) -> float:
    """Where a request lies from 0 to 1; below a canary's share, the canary answers it.

    ``key`` names the request, so that its retries stay on one version. A larger share keeps every
    request that a smaller one had.
    """
    digest = hashlib.sha256(f"{task}\n{version}\n{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
