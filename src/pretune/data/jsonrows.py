"""Rows of JSON Lines files, and of JSON files that hold one array."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pretune.core.errors import DataError
from pretune.core.records import Row
from pretune.data.rejected import Reason, Rejected
from pretune.data.textlines import open_text, wrong_bytes

_SPACE = " \t\r\n"


def read_jsonl(path: Path, encoding: str) -> Iterator[Row | Rejected]:
    """One object a line. Lines end at ``\\n`` only: U+2028 and the like may stand in a text."""
    with open_text(path, encoding, newline="\n") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _row(f"{path.name}:{number}", line.rstrip("\r\n"), encoding)


def _row(row_id: str, line: str, encoding: str) -> Row | Rejected:
    if wrong := wrong_bytes(line, encoding):
        return Rejected(row_id, Reason.ENCODING, wrong, line)
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        return Rejected(row_id, Reason.BROKEN, f"{error.msg} at character {error.colno}", line)
    except (ValueError, RecursionError) as error:
        detail = f"not readable as JSON ({type(error).__name__})"
        return Rejected(row_id, Reason.BROKEN, detail, line)
    return _checked(row_id, value, escapes="\\u" in line)


def _checked(row_id: str, value: Any, *, escapes: bool) -> Row | Rejected:
    if not isinstance(value, dict):
        kind = type(value).__name__
        return Rejected(row_id, Reason.BROKEN, f"the line holds a {kind}, not an object", value)
    if escapes and not _encodes(value):
        return Rejected(row_id, Reason.BROKEN, "half of a surrogate pair, which is no text", value)
    return Row(row_id, value)


def _encodes(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def read_json(path: Path, encoding: str) -> Iterator[Row | Rejected]:
    """One array of objects, read whole; a file that begins with an object is read as JSON Lines.

    Raises:
        DataError: the array is broken or not all of the file, or that is not in ``encoding``.
    """
    with open_text(path, encoding, newline="\n") as file:
        text = file.read()
    position = _skip(text, 0, _SPACE)
    if text[position : position + 1] == "{":
        yield from read_jsonl(path, encoding)
        return
    if wrong := wrong_bytes(text, encoding):
        raise DataError(f'cannot read "{path}": {wrong.replace(" of the line", "")}')
    if text[position : position + 1] != "[":
        raise DataError(
            f'"{path}" holds no array; write [{{...}}, {{...}}], or one object a line as .jsonl'
        )
    decoder = json.JSONDecoder()
    line, counted = 1, 0
    position = _skip(text, position + 1, _SPACE)
    while text[position : position + 1] != "]":
        line, counted = line + text.count("\n", counted, position), position
        try:
            value, end = decoder.raw_decode(text, position)
            after = _skip(text, end, _SPACE)
            if text[after : after + 1] not in (",", "]"):
                raise json.JSONDecodeError("Expecting ',' or ']'", text, after)
        except json.JSONDecodeError as error:
            raise _broken(path, error) from error
        except (ValueError, RecursionError) as error:
            raise DataError(
                f'"{path}", line {line}: not readable as JSON ({type(error).__name__}); '
                "mend the file, or write one object a line as .jsonl"
            ) from error
        yield _checked(f"{path.name}:{line}", value, escapes="\\u" in text[position:end])
        position = _skip(text, after + 1, _SPACE) if text[after] == "," else after
    position = _skip(text, position + 1, _SPACE)
    if position < len(text):
        raise _broken(path, json.JSONDecodeError("Extra data after the array", text, position))


def _broken(path: Path, error: json.JSONDecodeError) -> DataError:
    return DataError(
        f'"{path}", line {error.lineno}: {error.msg} at character {error.colno}; '
        "mend the file, or write one object a line as .jsonl"
    )


def _skip(text: str, position: int, characters: str) -> int:
    while position < len(text) and text[position] in characters:
        position += 1
    return position
