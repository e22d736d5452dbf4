"""Plain text: paragraphs between blank lines, and lines that look like headings."""

import re
from collections.abc import Iterator
from pathlib import Path

from pretune.data.documents.blocks import Block, Limits, heading, paragraph
from pretune.data.documents.decode import decode

_CHINESE = re.compile(r"\s*第[一二三四五六七八九十百千零〇\d]+([编篇章节])(?:[\s　].{0,60}|)$")
_CHINESE_LEVELS = {"编": 1, "篇": 1, "章": 2, "节": 3}
_NUMBERED = re.compile(r"\s*(\d+(?:\.\d+){0,4})\.?[\s　]+\S.{0,79}$")
_UNDERLINE = re.compile(r"\s*(={3,}|-{3,})\s*$")
_ENDS_A_SENTENCE = (".", "。", ";", "；", ",", "，", ":", "：", "!", "?", "！", "？")


def read(path: Path, limits: Limits) -> Iterator[Block]:
    """Blocks of a text file."""
    lines: list[str] = []
    for line in [*decode(path.read_bytes()).splitlines(), ""]:
        if line.strip() and not _chapter(line):
            lines.append(line)
            continue
        yield from _blocks(lines)
        lines = []
        if line.strip():
            yield heading(line, _chapter(line))


def _chapter(line: str) -> int:
    found = _CHINESE.match(line)
    return _CHINESE_LEVELS[found[1]] if found else 0


def _blocks(lines: list[str]) -> Iterator[Block]:
    """What the lines between two blank ones are."""
    if len(lines) > 1 and (under := _UNDERLINE.match(lines[1])):
        yield heading(lines[0], 1 if under[1][0] == "=" else 2)
        lines = lines[2:]
    elif len(lines) == 1 and (level := _numbered(lines[0])):
        yield heading(lines[0], level)
        return
    if lines:
        yield paragraph("\n".join(lines))


def _numbered(line: str) -> int:
    found = _NUMBERED.match(line)
    if not found or line.rstrip().endswith(_ENDS_A_SENTENCE):
        return 0
    return found[1].count(".") + 1
