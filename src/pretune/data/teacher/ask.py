"""What a teacher is asked, what it says, and what can go wrong."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pretune.core.digest import of_json


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to a teacher. ``seed`` tells apart what would else be asked twice. ``form``, a
    JSON schema, is what the answer must keep to, where the teacher can be held to one."""

    system: str
    user: str
    max_tokens: int
    temperature: float
    seed: int
    form: str = ""

    def key(self, model: str) -> str:
        """Name of the answer of ``model``: all that decides it."""
        said = [self.system, self.user, self.max_tokens, self.temperature, self.seed]
        return of_json([model, [*said, self.form] if self.form else said])

    @property
    def most_tokens(self) -> int:
        """About the most tokens that it can cost: of the prompt one for three bytes of UTF-8, a
        little more than tokenizers make of English and of Chinese."""
        return (len(self.system.encode()) + len(self.user.encode())) // 3 + 16 + self.max_tokens


@dataclass(frozen=True, slots=True)
class Reply:
    """What a teacher said. ``whole``: it came to its end, and was not cut at ``max_tokens``."""

    text: str
    whole: bool
    prompt_tokens: int
    answer_tokens: int


class Outcome(StrEnum):
    """How a call ended; the value is what reports print."""

    ANSWERED = "answered"
    RATE_LIMITED = "told to wait (429)"
    SERVER_ERROR = "failed at the endpoint"
    TIMEOUT = "timed out"
    HALF = "ended in the middle"
    JUNK = "was no chat completion"
    UNREACHABLE = "found no endpoint"
    REFUSED = "refused by the endpoint (4xx)"
    SENT = "under way when the process died"

    @property
    def may_cost(self) -> bool:
        """Whether the endpoint may have worked, so that the call counts at its most."""
        return self in (Outcome.TIMEOUT, Outcome.HALF, Outcome.JUNK, Outcome.SENT)


class CallFailed(Exception):
    """A call without an answer. ``wait``: seconds after which the teacher wants it again."""

    def __init__(self, outcome: Outcome, detail: str, wait: float | None = None) -> None:
        super().__init__(detail)
        self.outcome, self.detail, self.wait = outcome, detail, wait


class Teacher(Protocol):
    """Somebody who answers. Threads call it at the same time."""

    @property
    def model(self) -> str:
        """What decides its answers; part of the name under which they are kept."""

    def call(self, ask: Ask) -> Reply:
        """One try, without patience.

        Raises:
            CallFailed: no answer this time.
            TeacherError: none ever: the key or the model is refused.
        """
