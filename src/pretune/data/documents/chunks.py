"""Blocks to chunks: along headings, then paragraphs, then sentences, and a table between rows."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pretune.data.documents.blocks import Block, BlockKind

Count = Callable[[str], int]
"""How long a text is, in the unit of a chunk's size."""

_SENTENCE_END = re.compile(r"(?<=[.!?]\s)|(?<=[。！？；])")
_SPACE = re.compile(r"\s")

_BETWEEN = "\n\n"

_FULL_ENOUGH = 4
"""A heading begins a new chunk once this one holds a quarter of its size; shorter sections share
one, their headings in it."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document as Markdown, and the headings above all of it."""

    headings: tuple[str, ...]
    text: str


def chunks_of(blocks: Iterable[Block], size: int, count: Count = len) -> Iterator[Chunk]:
    """Chunks of at most ``size``, headings not counted. A table longer than that is cut between
    rows, and each piece has its head; a longer row or sentence is cut at a space."""
    filling = _Filling()
    path: tuple[Block, ...] = ()
    for block in blocks:
        if not block.text.strip():
            continue
        if block.kind is BlockKind.HEADING:
            path = (*(above for above in path if above.level < block.level), block)
            if filling.size * _FULL_ENOUGH >= size:
                yield filling.take()
            continue
        for piece in _pieces(block, size, count):
            if filling.size and filling.size + count(f"{_BETWEEN}{piece}") > size:
                yield filling.take()
            length = count(f"{_BETWEEN}{piece}") if filling.size else count(piece)
            filling.add(path, piece, length)
    if filling.size:
        yield filling.take()


class _Filling:
    """The chunk in the making: pieces with the headings above each."""

    def __init__(self) -> None:
        self._pieces: list[tuple[tuple[Block, ...], str]] = []
        self.size = 0

    def add(self, path: tuple[Block, ...], piece: str, length: int) -> None:
        self._pieces.append((path, piece))
        self.size += length

    def take(self) -> Chunk:
        paths = [path for path, _ in self._pieces]
        shared = _common(paths)
        parts: list[str] = []
        before = shared
        for path, piece in self._pieces:
            known = len(_common([before, path]))
            parts += [f"{'#' * heading.level} {heading.text}" for heading in path[known:]]
            parts.append(piece)
            before = path
        self._pieces, self.size = [], 0
        return Chunk(tuple(heading.text for heading in shared), _BETWEEN.join(parts))


def _common(paths: list[tuple[Block, ...]]) -> tuple[Block, ...]:
    first = paths[0]
    length = min(map(len, paths))
    # By identity: two sections may have the same name.
    same = (all(path[i] is first[i] for path in paths) for i in range(length))
    return first[: next((i for i, ok in enumerate(same) if not ok), length)]


def _pieces(block: Block, size: int, count: Count) -> Iterator[str]:
    if count(block.text) <= size:
        yield block.text
    elif block.kind is BlockKind.TEXT:
        yield from _packed(_cut(_SENTENCE_END.split(block.text), size, count), "", size, count)
    elif block.kind is BlockKind.TABLE:
        yield from _parts_of_table(block.text, size, count)
    else:
        yield from _packed(_cut(block.text.split("\n"), size, count), "\n", size, count)


def _parts_of_table(text: str, size: int, count: Count) -> Iterator[str]:
    """Parts that all have the table's head, if it leaves room for half a chunk of rows."""
    head, rule, *rows = text.split("\n")
    room = size - count(f"{head}\n{rule}\n")
    if 2 * room < size:
        yield from _packed(_cut([head, *rows], size, count), "\n", size, count)
        return
    for part in _packed(_cut(rows, room, count), "\n", room, count):
        yield f"{head}\n{rule}\n{part}"


def _cut(parts: Iterable[str], size: int, count: Count) -> Iterator[str]:
    for part in parts:
        yield from _halved(part, size, count)


def _packed(parts: Iterable[str], between: str, size: int, count: Count) -> Iterator[str]:
    """Parts, none longer than ``size``, put together up to it."""
    taken: list[str] = []
    used = 0
    for part in parts:
        length = count(part + between)
        if taken and used + length > size + 1:
            yield between.join(taken).strip()
            taken, used = [], 0
        taken.append(part)
        used += length
    if taken:
        yield between.join(taken).strip()


def _halved(text: str, size: int, count: Count) -> Iterator[str]:
    """``text`` in pieces of at most ``size``, cut at the space nearest to the middle."""
    if len(text) < 2 or count(text) <= size:
        yield text
        return
    middle = len(text) // 2
    ends = (found.end() for found in _SPACE.finditer(text) if found.end() < len(text))
    cut = min(ends, key=lambda place: abs(place - middle), default=middle)
    yield from _halved(text[:cut], size, count)
    yield from _halved(text[cut:], size, count)
