"""Markdown (CommonMark with tables), by way of HTML."""

import re
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt

from pretune.data.documents.blocks import Block, Limits
from pretune.data.documents.decode import decode
from pretune.data.documents.hypertext import blocks_of

_FRONT_MATTER = re.compile(r"\A---\r?\n.*?\r?\n---\r?\n", re.DOTALL)


def read(path: Path, limits: Limits) -> Iterator[Block]:
    """Blocks of a Markdown file; a YAML head is left out."""
    text = _FRONT_MATTER.sub("", decode(path.read_bytes()))
    return blocks_of(MarkdownIt("commonmark").enable("table").render(text))
