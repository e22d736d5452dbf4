"""Records that travel between packages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pretune.core import digest
from pretune.core.sampling import GREEDY, Sampling
from pretune.core.segments import TokenSegment, Turn


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a data file; ``id`` is ``file:line`` and is all that logs may show of it."""

    id: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Example:
    """A row under a task's template: what is asked, and what a right answer is.

    ``turns`` ends with what the model should write (role target or assistant) when it is known.
    ``label`` is the task's label, ``references`` are all texts that count as right.
    """

    row_id: str
    turns: tuple[Turn, ...]
    label: str | None = None
    references: tuple[str, ...] = ()

    @property
    def prompt(self) -> tuple[Turn, ...]:
        """The turns before the last run of model-written ones."""
        end = len(self.turns)
        while end and self.turns[end - 1].role.written_by_model:
            end -= 1
        return self.turns[:end]

    @property
    def content(self) -> str:
        """Digest of what is asked and answered, whatever the row's place and the base's tokens."""
        turns = [[turn.role, turn.text] for turn in self.turns]
        return digest.of_json([turns, self.label, self.references])


@dataclass(frozen=True, slots=True)
class TokenExample:
    """A tokenised example; ``segments`` include the target. ``content`` is the example's."""

    row_id: str
    segments: tuple[TokenSegment, ...]
    label: str | None = None
    references: tuple[str, ...] = ()
    content: str = ""

    @property
    def prompt(self) -> tuple[TokenSegment, ...]:
        """The segments before the last run of model-written ones: what serving is given."""
        end = len(self.segments)
        while end and self.segments[end - 1].role.written_by_model:
            end -= 1
        return self.segments[:end]

    def __len__(self) -> int:
        return sum(len(segment) for segment in self.segments)


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt for an engine. ``adapter`` names an adapter that the engine knows; ``None`` is the
    base.

    Requests of one ``group`` (``None``: of one adapter) share what the engine can do with other
    groups in proportion to their ``weight``. What a request leaves in the cache is found by those
    of the same ``salt`` only.
    """

    id: str
    segments: tuple[TokenSegment, ...]
    adapter: str | None = None
    max_new_tokens: int = 64
    sampling: Sampling = GREEDY
    group: str | None = None
    weight: float = 1.0
    salt: str = ""


class FinishReason(StrEnum):
    """Why generation ended: the end token, enough tokens, a stop token or text, the caller, or for
    this request alone: it asked for what cannot be done, or something failed."""

    END = "end"
    LENGTH = "length"
    STOP = "stop"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A generated token: its log-probability (nats) before any narrowing of the choice, and the
    most probable alternatives as ``(token, log-probability)``, best first."""

    token: int
    log_prob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """Generated token ids, without the token that ended them; ``chosen`` is filled for requests
    that want log-probabilities, ``error`` says what was refused or failed."""

    request_id: str
    ids: tuple[int, ...]
    reason: FinishReason
    chosen: tuple[Chosen, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class OptionScores:
    """Log-probability (nats) of each option, its end token included, in the order asked."""

    request_id: str
    log_probs: tuple[float, ...]

    @property
    def best(self) -> int:
        """Index of the most probable option; the first of equals."""
        return max(range(len(self.log_probs)), key=self.log_probs.__getitem__)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a task answered for one row, beside what was right.

    ``label`` is the label that the answer means, ``None`` where it means no known one; ``gold`` is
    the right label, ``None`` for tasks without labels. ``scores`` are probabilities by label.
    """

    row_id: str
    text: str
    references: tuple[str, ...]
    label: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    gold: str | None = None


def total_tokens(segments: Sequence[TokenSegment]) -> int:
    """Number of tokens in ``segments``."""
    return sum(len(segment) for segment in segments)
