"""A renderer without files or torch: one token a byte, for tests of any project."""

from collections.abc import Sequence
from dataclasses import dataclass

from pretune.core.segments import Role, Segment, TokenSegment, Turn

PAD_ID, BOS_ID, END_ID = 0, 1, 2
SPECIAL_TOKENS = (
    "<|pad|>",
    "<|bos|>",
    "<|end|>",
    "<|system|>",
    "<|context|>",
    "<|user|>",
    "<|assistant|>",
)
"""Special tokens; the position is the token id."""

_HEADERS = {
    Role.SYSTEM: "<|system|>",
    Role.CONTEXT: "<|context|>",
    Role.USER: "<|user|>",
    Role.ASSISTANT: "<|assistant|>",
    Role.TARGET: "<|assistant|>",
}


@dataclass(frozen=True, slots=True)
class ByteRenderer:
    """Implements :class:`pretune.core.protocols.Renderer`: byte ``b`` is token ``b + 7``."""

    context_length: int = 512

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The end token."""
        return (END_ID,)

    @property
    def start_ids(self) -> tuple[int, ...]:
        """The BOS token."""
        return (BOS_ID,)

    def render(self, turns: Sequence[Turn]) -> tuple[Segment, ...]:
        """Header, text and end token of each turn; a header that opens an answer is not the
        model's, and belongs to the turn before."""
        segments: list[Segment] = []
        before = Role.SYSTEM
        for index, turn in enumerate(turns):
            opener = "" if index else "<|bos|>"
            role = turn.role
            if role.written_by_model:
                role = Role.USER if before.written_by_model else before
            segments.append(Segment(role, opener + _HEADERS[turn.role], glue=True))
            segments.append(Segment(turn.role, turn.text))
            segments.append(Segment(turn.role, "<|end|>", glue=True))
            before = turn.role
        if not before.written_by_model:
            segments.append(Segment(before, "<|assistant|>", glue=True))
        return tuple(segment for segment in segments if segment.text)

    def encode(self, segments: Sequence[Segment]) -> tuple[TokenSegment, ...]:
        """Bytes as tokens; special tokens are read in glue only."""
        return tuple(
            TokenSegment(segment.role, _glue(segment.text), glue=True)
            if segment.glue
            else TokenSegment(segment.role, _bytes(segment.text))
            for segment in segments
        )

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the byte tokens among ``ids``."""
        return self.spell(ids)

    def spell(self, ids: Sequence[int]) -> str:
        """The same."""
        first = len(SPECIAL_TOKENS)
        return bytes(i - first for i in ids if i >= first).decode("utf-8", errors="replace")


def _bytes(text: str) -> tuple[int, ...]:
    return tuple(byte + len(SPECIAL_TOKENS) for byte in text.encode())


def _glue(text: str) -> tuple[int, ...]:
    return tuple(SPECIAL_TOKENS.index(f"{token}|>") for token in text.split("|>")[:-1])
