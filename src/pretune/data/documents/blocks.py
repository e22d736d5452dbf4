"""Blocks: what every kind of document is read as."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class BlockKind(StrEnum):
    """What a block is; a table's text is a Markdown table."""

    HEADING = "heading"
    TEXT = "text"
    TABLE = "table"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a document; ``level`` is a heading's, from 1."""

    kind: BlockKind
    text: str
    level: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one document may take: bytes of the file and of what is packed in it, and pages."""

    bytes: int
    pages: int


class Unreadable(Exception):
    """A document that is refused. The message completes "the document ..." and holds none of its
    text."""


_WRAPPED = re.compile(r"(?<=[\u3000-\u9fff\uff00-\uffef])\s*\n\s*(?=[\u3000-\u9fff\uff00-\uffef])")


_UNSEEN = dict.fromkeys(map(ord, "\u200b\u2060\ufeff\u00ad"))
"""Characters without width, which break words for a search and mean nothing."""


def one_line(text: str) -> str:
    """``text`` without line breaks; between Chinese characters a break leaves no space."""
    return " ".join(_WRAPPED.sub("", text.translate(_UNSEEN)).split())


def heading(text: str, level: int) -> Block:
    """A heading, on one line."""
    return Block(BlockKind.HEADING, one_line(text), level)


def paragraph(text: str) -> Block:
    """A paragraph, on one line."""
    return Block(BlockKind.TEXT, one_line(text))


def table(rows: Sequence[Sequence[str]]) -> Block:
    """A table whose first row heads it; short rows are filled up."""
    width = max(map(len, rows))
    lines = []
    for cells in rows:
        shown = [one_line(cell).replace("|", "\\|") for cell in cells]
        lines.append("| " + " | ".join(shown + [""] * (width - len(shown))) + " |")
    lines.insert(1, "|" + " --- |" * width)
    return Block(BlockKind.TABLE, "\n".join(lines))
