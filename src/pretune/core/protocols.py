"""What one package asks of another; the implementations never import each other."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from pretune.core.events import Event
from pretune.core.records import Completion, OptionScores, Request
from pretune.core.segments import Segment, TokenSegment, Turn


class Renderer(Protocol):
    """Turns to tokens and back, as one base does it (its tokenizer and its chat template)."""

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Token ids that end what the model writes."""

    @property
    def start_ids(self) -> tuple[int, ...]:
        """Token ids that begin a plain text, one that is no chat."""

    @property
    def context_length(self) -> int:
        """Most tokens that a prompt and its answer may take together."""

    def render(self, turns: Sequence[Turn]) -> tuple[Segment, ...]:
        """Text segments under the chat template. If the last turn is not the model's, the segments
        end with the glue that opens its answer; a model's turn ends with its end token."""

    def encode(self, segments: Sequence[Segment]) -> tuple[TokenSegment, ...]:
        """Tokenise each segment by itself; no text of the user becomes a special token."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of generated ids, special tokens and outer white space left out."""

    def spell(self, ids: Sequence[int]) -> str:
        """Text of generated ids, special tokens left out, white space as it is."""


class Generator(Protocol):
    """Prompts in, greedy completions out, in the order asked."""

    def generate(
        self, requests: Sequence[Request], progress: Callable[[int], None] | None = None
    ) -> list[Completion]:
        """Complete ``requests``; ``progress`` is told how many were just finished."""


class Scorer(Protocol):
    """Scores the same options (token ids, end token included) after every prompt."""

    def score(
        self,
        requests: Sequence[Request],
        options: Sequence[Sequence[int]],
        progress: Callable[[int], None] | None = None,
    ) -> list[OptionScores]:
        """Score ``options`` after each prompt; ``progress`` as for :class:`Generator`."""


class Masker(Protocol):
    """Replaces what is private before a text is stored, sent to a teacher or logged."""

    def mask(self, text: str) -> str:
        """``text`` with what is private replaced: one value, one replacement, everywhere."""

    def mask_fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """A row's columns so; what is found in one text of the row is replaced in all of them."""

    def keep(self) -> None:
        """Put on the disk what undoing needs; to be called before masked text is put there."""


class EventSink(Protocol):
    """Receives what happens: a progress bar, a log file, a dashboard."""

    def emit(self, event: Event) -> None:
        """Take note of ``event``; must not raise and must not keep the caller waiting."""
