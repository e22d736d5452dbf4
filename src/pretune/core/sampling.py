"""How a request wants its tokens chosen, and when it wants no more of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pretune.core.errors import SpecError

StopTest = Callable[[Sequence[int]], bool]
"""Whether generated ids complete a stop text; asked after every token by an engine that knows no
text, answered by whoever holds the tokenizer."""


class Adherence(Protocol):
    """How far one answer has come under a :class:`Constraint`; a function of its tokens alone."""

    @property
    def complete(self) -> bool:
        """Whether nothing but the end can follow."""

    def allowed(self) -> bytes:
        """One byte a token of the vocabulary, zero where it cannot follow. An end token is allowed
        where the answer may end.

        Raises:
            SpecError: it has become too complex to say; the request cannot go on.
        """

    def accept(self, token: int) -> None:
        """Take up an allowed token."""


class Constraint(Protocol):
    """What an answer must look like. Immutable, so that any number of requests can share it."""

    def begin(self) -> Adherence:
        """The state of an answer before its first token."""


MOST_LOGPROBS = 20


@dataclass(frozen=True, slots=True)
class Sampling:
    """Greedy unless ``temperature`` is above zero.

    ``top_p``, ``top_k`` (0: off) and ``min_p`` narrow the choice, in this order: k, p, min-p.
    ``repetition_penalty`` divides or multiplies the logits of tokens of prompt and answer;
    ``presence_penalty`` and ``frequency_penalty`` are taken off those of the answer's tokens, once
    or per occurrence. The same ``seed`` gives the same draws in any batch. ``logprobs``: how many
    alternatives to report beside the chosen token (``None``: report nothing). ``constraint``: what
    the whole answer must look like, unless it is cut.

    Raises:
        SpecError: a value out of its range, with the range.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    logprobs: int | None = None
    stop_ids: frozenset[int] = frozenset()
    stop: StopTest | None = None
    constraint: Constraint | None = None

    def __post_init__(self) -> None:
        _between("temperature", self.temperature, 0.0, 2.0)
        _between("top_p", self.top_p, 0.0, 1.0, open_below=True)
        _between("top_k", self.top_k, 0, 2**31)
        _between("min_p", self.min_p, 0.0, 1.0)
        _between("repetition_penalty", self.repetition_penalty, 0.0, 10.0, open_below=True)
        _between("presence_penalty", self.presence_penalty, -2.0, 2.0)
        _between("frequency_penalty", self.frequency_penalty, -2.0, 2.0)
        if self.logprobs is not None:
            _between("logprobs", self.logprobs, 0, MOST_LOGPROBS)

    @property
    def plain(self) -> bool:
        """Whether the most probable token is all that is wanted."""
        greedy = self.temperature == 0.0 and not self.penalised
        return greedy and self.logprobs is None and self.constraint is None

    @property
    def penalised(self) -> bool:
        """Whether what was said before changes the logits."""
        return (
            self.repetition_penalty != 1.0
            or self.presence_penalty != 0.0
            or self.frequency_penalty != 0.0
        )


def _between(name: str, value: float, low: float, high: float, *, open_below: bool = False) -> None:
    # Written so that NaN, which compares false, is refused.
    inside = (low < value if open_below else low <= value) and value <= high
    if not inside:
        raise SpecError(
            f'{name} "{value}" is not {"above" if open_below else "from"} {low} '
            f"{'and at most' if open_below else 'to'} {high}"
        )


GREEDY = Sampling()
