"""HTML, which Markdown and Word documents become as well: headings, paragraphs, lists, tables."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lxml import etree, html

from pretune.data.documents.blocks import (
    Block,
    BlockKind,
    Limits,
    Unreadable,
    heading,
    paragraph,
    table,
)
from pretune.data.documents.decode import decode

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_SKIPPED = frozenset(
    """script style noscript template head iframe svg form button select nav header footer
    aside""".split()  # noqa: SIM905 # one word a line would be longer than all the rest
)
_INLINE = frozenset(
    """a abbr b bdi bdo big cite code data del dfn em font i img ins kbd label mark q s samp small
    span strike strong sub sup time tt u var wbr br""".split()  # noqa: SIM905
)
_WIDEST = 100
"""Most columns or rows that one cell may span; more is a mistake or an attack."""

_DECLARED = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?\s*([\w-]{2,40})""", re.IGNORECASE)


def read(path: Path, limits: Limits) -> Iterator[Block]:
    """Blocks of an HTML file, in the encoding that it declares, or that it most looks like."""
    raw = path.read_bytes()
    declared = _DECLARED.search(raw[:4096])
    if declared and not raw.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        try:
            return blocks_of(raw.decode(declared[1].decode()))
        except (UnicodeDecodeError, LookupError):
            pass  # pages lie about it; the bytes do not
    return blocks_of(decode(raw))


def blocks_of(markup: str) -> Iterator[Block]:
    """Blocks of a page's ``markup``.

    Raises:
        Unreadable: nothing in it can be parsed.
    """
    if not markup.strip():
        return iter(())
    try:
        root = html.document_fromstring(
            re.sub(r"^\s*<\?xml[^>]*\?>", "", markup), parser=html.HTMLParser(huge_tree=False)
        )
    except (etree.ParserError, etree.XMLSyntaxError, ValueError) as error:
        raise Unreadable("is no HTML that could be parsed") from error
    return _Page().walk(root)


class _Page:
    """Gathers running text and lets it go as a block where an element ends it."""

    def __init__(self) -> None:
        self._text: list[str] = []

    def walk(self, root: Any) -> Iterator[Block]:
        yield from self._element(root)
        yield from self._flush()

    def _element(self, element: Any) -> Iterator[Block]:
        tag = element.tag if isinstance(element.tag, str) else ""
        if not tag or tag in _SKIPPED:
            return
        if tag in _INLINE:
            if tag == "br":
                self._text.append("\n")
            yield from self._inside(element)
            return
        yield from self._flush()
        if tag in _HEADINGS:
            text = _text_of(element)
            if text.strip():
                yield heading(text, _HEADINGS[tag])
        elif tag == "pre":
            yield Block(BlockKind.CODE, _text_of(element).strip("\n"))
        elif tag == "table" and (rows := _rows(element)):
            yield table(rows)
        else:
            if tag == "li":
                self._text.append("- ")
            yield from self._inside(element)
            yield from self._flush()

    def _inside(self, element: Any) -> Iterator[Block]:
        self._text.append(element.text or "")
        for child in element:
            yield from self._element(child)
            self._text.append(child.tail or "")

    def _flush(self) -> Iterator[Block]:
        text = "".join(self._text)
        if text.strip() == "-":
            return  # the bullet of an item whose text is a block of its own
        self._text.clear()
        if text.strip():
            yield paragraph(text)


def _text_of(element: Any) -> str:
    return "".join(element.itertext())


def _rows(element: Any) -> list[list[str]]:
    """The cells of a table; none where it only lays out a page: one column, or blocks inside."""
    if element.xpath(".//table | .//h1 | .//h2 | .//h3 | .//h4"):
        return []
    rows: list[list[str]] = []
    below: dict[int, tuple[int, str]] = {}
    for line in element.iter("tr"):
        cells: list[str] = []
        given = iter(line.xpath("./td | ./th"))
        while True:
            column = len(cells)
            if column in below:
                left, text = below.pop(column)
                if left > 1:
                    below[column] = (left - 1, text)
                cells.append(text)
                continue
            cell = next(given, None)
            if cell is None:
                break
            text = _text_of(cell)
            for offset in range(_span(cell, "colspan")):
                shown = "" if offset else text
                cells.append(shown)
                if (down := _span(cell, "rowspan")) > 1:
                    below[column + offset] = (down - 1, shown)
        if any(cell.strip() for cell in cells):
            rows.append(cells)
    return rows if rows and max(map(len, rows)) > 1 else []


def _span(cell: Any, name: str) -> int:
    given = cell.get(name, "1").strip()
    return min(int(given), _WIDEST) or 1 if given.isascii() and given.isdigit() else 1
