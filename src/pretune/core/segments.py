"""Segments: the parts of a prompt, each with one role.

A prompt is rendered to text segments and each is tokenised by itself, so that the boundary between
two roles is a token position by construction, in training as in serving.
"""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """Who stands behind the tokens of a segment."""

    SYSTEM = "system"
    CONTEXT = "context"
    USER = "user"
    ASSISTANT = "assistant"
    TARGET = "target"

    @property
    def written_by_model(self) -> bool:
        """Whether the model itself wrote (or is to write) these tokens."""
        return self in (Role.ASSISTANT, Role.TARGET)


@dataclass(frozen=True, slots=True)
class Turn:
    """What a user of pretune says: one role and its text, before any template."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of rendered text. ``glue`` is the template's own text, which may hold special tokens;
    all other text is content, in which special tokens are plain characters."""

    role: Role
    text: str
    glue: bool = False


@dataclass(frozen=True, slots=True)
class TokenSegment:
    """A tokenised segment; ``ids`` are token ids of the base."""

    role: Role
    ids: tuple[int, ...]
    glue: bool = False

    def __len__(self) -> int:
        return len(self.ids)
