"""The template section of a task file, and the small language of its braces.

``{name}`` stands for a row's column of that name, taken literally: no attributes, no indices, no
expressions. ``{{`` and ``}}`` are plain braces.
"""

import re
from typing import Any, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from pretune.core.errors import SpecError
from pretune.spec.model import Strict

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")


class Piece(NamedTuple):
    """Plain ``text``, or the name of a ``column`` to put in its place."""

    text: str
    column: str | None = None


def parse(template: str) -> tuple[Piece, ...]:
    """Split ``template`` into plain text and columns.

    Raises:
        SpecError: a brace without its partner, or braces without a name.
    """
    pieces = []
    for match in _PIECE.finditer(template):
        found, column = match.group(0), match.group(1)
        if found in ("{{", "}}"):
            pieces.append(Piece(found[0]))
        elif column is not None:
            if not column.strip():
                raise SpecError(
                    f'empty braces in "{template}"; name a column as in "{{text}}", '
                    'or write "{{}}" for plain braces'
                )
            pieces.append(Piece("", column))
        elif found in "{}":
            raise SpecError(
                f'"{found}" without its partner in "{template}"; '
                f'write "{found * 2}" for a plain brace'
            )
        else:
            pieces.append(Piece(found))
    return tuple(pieces)


def columns_of(template: str) -> tuple[str, ...]:
    """Columns that ``template`` names, in order, each once."""
    return tuple(dict.fromkeys(p.column for p in parse(template) if p.column is not None))


class TemplateSpec(Strict):
    """How a row becomes a prompt and an answer: segments, or one column of chat messages."""

    system: str | None = Field(None, description="the instruction")
    context: str | None = Field(
        None,
        description="material to answer from; shared by tasks with scope suffix, cut when long",
    )
    user: str | None = Field(None, description="what is asked")
    target: str | None = Field(None, description="what the model should write")
    messages: str | None = Field(
        None,
        description="column of chat messages, instead of the segments: [{role, content}, ...] or "
        "[{from, value}, ...]",
    )

    @field_validator("system", "context", "user", "target")
    @classmethod
    def _braces_match(cls, value: str | None) -> str | None:
        if value is not None:
            parse(value)
        return value

    @model_validator(mode="before")
    @classmethod
    def _not_a_string(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError(
                'the template is a mapping of segments; write at least "user:" and "target:"'
            )
        return value

    @model_validator(mode="after")
    def _segments_or_messages(self) -> Self:
        given = [key for key, text in self.segments.items() if text is not None]
        if self.messages is not None:
            if given:
                raise ValueError(
                    f'"messages" already holds every turn; remove {", ".join(given)} or "messages"'
                )
            return self
        missing = [key for key in ("user", "target") if key not in given]
        if missing:
            raise ValueError(
                f'the template needs {" and ".join(missing)}, or "messages" for chat data'
            )
        if not columns_of(self.target or ""):
            raise ValueError(
                f'target "{self.target}" is the same for every row; '
                'name a column, as in "{label}"'
            )
        if not any(columns_of(text or "") for text in (self.system, self.context, self.user)):
            raise ValueError(
                "the prompt names no column, so every row would ask the same; "
                'name one in "user:", as in "{text}"'
            )
        return self

    @property
    def segments(self) -> dict[str, str | None]:
        """The text segments by role, in the order in which they are rendered."""
        return {
            "system": self.system,
            "context": self.context,
            "user": self.user,
            "target": self.target,
        }
