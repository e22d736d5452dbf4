"""Reading text files line by line so that one bad byte costs one row, and says where it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from pretune.core.errors import DataError

_GUESSES = ("utf-8", "gb18030", "big5", "cp1252")
"""Encodings tried, in this order, when a line is not in the one the task file names."""


@contextmanager
def open_text(path: Path, encoding: str, newline: str) -> Iterator[TextIO]:
    """Open ``path``; bytes that are not in ``encoding`` become lone surrogates, which
    :func:`wrong_bytes` finds. A byte order mark is dropped.

    Raises:
        DataError: the file cannot be read, or is UTF-16 while ``encoding`` says otherwise.
    """
    try:
        with path.open("rb") as raw:
            mark = raw.read(2)
        wide = encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32"))
        if mark in (b"\xff\xfe", b"\xfe\xff") and not wide:
            raise DataError(
                f'"{path.name}" is not in encoding "{encoding}": it begins with the mark of '
                "utf-16; set data.encoding to utf-16"
            )
        used = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
        with path.open(encoding=used, errors="surrogateescape", newline=newline) as file:
            yield file
    except OSError as error:
        raise DataError(f'cannot read "{path}": {error.strerror or error}') from error


def wrong_bytes(text: str, encoding: str) -> str | None:
    """What is wrong with the bytes behind ``text``, and an encoding that fits; ``None`` if all is
    well. Holds none of the text itself."""
    if text.isascii():
        return None
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        try:
            raw = text.encode(encoding, "surrogateescape")
        except UnicodeEncodeError:
            return f'character {error.start + 1} is not in encoding "{encoding}"'
        at = len(text[: error.start].encode(encoding, "surrogateescape"))
        fits = next((name for name in _GUESSES if _decodes(raw, name)), None)
        hint = f"; it reads as {fits}: set data.encoding to {fits}" if fits else ""
        return f'byte {at + 1} of the line (0x{raw[at]:02x}) is not in encoding "{encoding}"{hint}'
    return None


def _decodes(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
