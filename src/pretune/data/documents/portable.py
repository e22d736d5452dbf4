"""PDF: text in reading order, headings by the size of their letters, tables by their lines.

Columns beside each other are read across; a table without lines comes as text.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pdfplumber
from pdfminer.pdfdocument import PDFEncryptionError, PDFPasswordIncorrect
from pdfminer.pdfexceptions import PDFException
from pdfminer.psexceptions import PSException
from pdfplumber.utils.exceptions import PdfminerException

from pretune.data.documents.blocks import Block, Limits, Unreadable, heading, paragraph, table

_LOOKED_AT = 20
"""Pages, spread evenly, from which the document's letters are known."""

_LARGER = 1.15
"""A line whose letters are this much larger than most is a heading."""

_LONGEST_HEADING = 120

_FULL = 3
"""Lines of a page that may have a running head and foot beside its text."""

_UNMAPPED = "(cid:"
_DIGITS = re.compile(r"\d+")
_BROKEN_WORD = re.compile(r"(?<=[A-Za-z])-\n(?=[a-z])")


@dataclass(frozen=True)
class _Letters:
    """What the pages looked at have in common."""

    body: float
    larger: tuple[float, ...]
    running: frozenset[str]

    def level(self, size: float, bold: bool, text: str) -> int:
        """Of a heading, from 1; 0 for running text."""
        if len(text) > _LONGEST_HEADING or not any(map(str.isalpha, text)):
            return 0
        if size >= self.body * _LARGER:
            return min(6, 1 + sum(other > size for other in self.larger))
        if bold and size >= self.body and text[-1] not in ".。,，;；:：":
            return min(6, 1 + len(self.larger))
        return 0


def read(path: Path, limits: Limits) -> Iterator[Block]:
    """Blocks of a PDF, one page in memory at a time.

    Raises:
        Unreadable: encrypted, scanned, damaged, too many pages, or letters without a meaning.
    """
    try:
        with pdfplumber.open(path) as pdf:
            pages = pdf.pages
            if len(pages) > limits.pages:
                raise Unreadable(
                    f"has {len(pages):,} pages, more than the {limits.pages:,} allowed; split it, "
                    "or raise limits.pages"
                )
            letters = _look_at(pages)
            for page in pages:
                yield from _blocks(page, letters)
                page.close()
    except PdfminerException as error:
        raise _refusal(error.args[0] if error.args else error) from error
    except (PDFException, PSException) as error:
        raise _refusal(error) from error


def _refusal(error: Any) -> Unreadable:
    if isinstance(error, (PDFPasswordIncorrect, PDFEncryptionError)):
        return Unreadable("is encrypted; save it without a password")
    return Unreadable("is damaged, or no PDF; open it in a viewer and save it anew")


def _look_at(pages: Sequence[Any]) -> _Letters:
    sizes: Counter[float] = Counter()
    edges: Counter[str] = Counter()
    letters = unmapped = 0
    looked_at = pages[:: max(1, len(pages) // _LOOKED_AT)]
    for page in looked_at:
        for character in page.chars:
            sizes[_size(character)] += bool(character["text"].strip())
            unmapped += character["text"].startswith(_UNMAPPED)
        lines = page.extract_text_lines(return_chars=False, strip=True)
        if len(lines) >= _FULL:
            edges.update({_edge(line["text"]) for line in lines[:1] + lines[-1:]})
        letters = sizes.total()
        page.close()
    if not letters:
        raise Unreadable(
            f"holds no text on the {len(looked_at)} pages looked at, so it is scanned; "
            "recognise its text first, for example with ocrmypdf"
        )
    if unmapped > letters / 5:
        raise Unreadable("does not say which characters its letters are; print it to a new PDF")
    body = max(sizes, key=lambda size: (sizes[size], -size))
    larger = sorted((size for size in sizes if size >= body * _LARGER), reverse=True)
    often = max(3, len(looked_at) / 2)
    return _Letters(body, tuple(larger), frozenset(t for t, n in edges.items() if n >= often))


def _size(character: Any) -> float:
    return float(round(character["size"] * 2)) / 2


def _edge(text: str) -> str:
    """A first or last line but for its numbers: of a page, a chapter."""
    return _DIGITS.sub("0", text)


@dataclass(frozen=True)
class _Line:
    top: float
    bottom: float
    text: str
    level: int


def _blocks(page: Any, letters: _Letters) -> Iterator[Block]:
    found: list[tuple[float, Block]] = []
    boxes = []
    for drawn in page.find_tables():
        rows = [[cell or "" for cell in row] for row in drawn.extract()]
        rows = [row for row in rows if any(cell.strip() for cell in row)]
        if len(rows) > 1 and len(rows[0]) > 1:
            boxes.append(drawn.bbox)
            found.append((drawn.bbox[1], table(rows)))
    rest = page.filter(lambda item: not _within(item, boxes)) if boxes else page
    found.extend(_running_text(_lines(rest, letters)))
    found.sort(key=lambda one: one[0])
    yield from (block for _, block in found)


def _within(item: Any, boxes: Sequence[tuple[float, float, float, float]]) -> bool:
    x, y = (item["x0"] + item["x1"]) / 2, (item["top"] + item["bottom"]) / 2
    return any(left <= x <= right and top <= y <= bottom for left, top, right, bottom in boxes)


def _lines(page: Any, letters: _Letters) -> list[_Line]:
    given = page.extract_text_lines(return_chars=True, strip=True)
    lines = []
    for place, line in enumerate(given):
        text = line["text"].strip()
        at_edge = len(given) >= _FULL and place in (0, len(given) - 1)
        if not text or (at_edge and _edge(text) in letters.running):
            continue
        characters = [one for one in line["chars"] if one["text"].strip()]
        size = Counter(map(_size, characters)).most_common(1)[0][0]
        bold = all("bold" in one["fontname"].lower() for one in characters)
        level = letters.level(size, bold, text)
        lines.append(_Line(line["top"], line["bottom"], text, level))
    return lines


def _running_text(lines: Sequence[_Line]) -> Iterator[tuple[float, Block]]:
    """Lines that follow each other closely are one paragraph, or one heading."""
    group: list[_Line] = []
    for line in lines:
        if group and (
            line.level != group[-1].level
            or line.top - group[-1].bottom > 0.8 * (line.bottom - line.top)
        ):
            yield _joined(group)
            group = []
        group.append(line)
    if group:
        yield _joined(group)


def _joined(lines: Sequence[_Line]) -> tuple[float, Block]:
    text = _BROKEN_WORD.sub("", "\n".join(line.text for line in lines))
    level = lines[0].level
    return lines[0].top, heading(text, level) if level else paragraph(text)
