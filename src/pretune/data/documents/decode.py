"""Bytes of unknown encoding to text."""

import codecs

from pretune.data.documents.blocks import Unreadable

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MIXED = 0.2
"""Share of non-ASCII lines in UTF-8 from which the others are a second encoding: a line of another
encoding is hardly ever UTF-8 by chance."""

_SAMPLE = 1_000_000
"""Bytes from which an encoding is guessed."""


def decode(raw: bytes) -> str:
    """The text of ``raw``: by its mark, as UTF-8, else as what it most looks like.

    Raises:
        Unreadable: two encodings in one file, or no text at all.
    """
    for mark, name in _MARKS:
        if raw.startswith(mark):
            return _strictly(raw[len(mark) :], name)
    if b"\0" in raw:
        raise Unreadable("holds zero bytes, so it is no text; save it as UTF-8")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return _guessed(raw)


def _guessed(raw: bytes) -> str:
    from charset_normalizer import from_bytes

    foreign = [line for line in raw.split(b"\n") if not line.isascii()]
    in_utf8 = [line for line in foreign if _is_utf8(line)]
    if len(in_utf8) >= _MIXED * len(foreign):
        first = next(n for n, line in enumerate(raw.split(b"\n"), 1) if not _is_utf8(line))
        raise Unreadable(
            f"mixes encodings: most is UTF-8 and line {first} is not; save it as UTF-8 throughout"
        )
    best = from_bytes(b"\n".join(foreign)[:_SAMPLE]).best()
    if best is None:
        raise Unreadable("is in no known encoding, or no text; save it as UTF-8")
    # GB18030 holds all of GB2312 and GBK, whose rarer characters may come after the sample.
    name = "gb18030" if best.encoding in ("gb2312", "gbk", "gb18030") else best.encoding
    return _strictly(raw, name)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _strictly(raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise Unreadable(
            f"begins in {encoding}, and byte {error.start + 1} is not; save it as UTF-8"
        ) from error
