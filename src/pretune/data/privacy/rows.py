"""Edits of a row's texts, and everything in the row that moves with them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from pretune.core.origin import KEY
from pretune.data.augment.edits import Edit, apply


class Place(NamedTuple):
    """A text of a row: the name of the innermost column that holds it, and the text."""

    column: str
    text: str


class SpansLost(ValueError):
    """Spans of a changed row that fit no column; ``column`` holds them."""

    def __init__(self, column: str) -> None:
        super().__init__(f'the spans in column "{column}" fit no text of their row')
        self.column = column


class NotText(ValueError):
    """Bytes of a row that are no UTF-8 text, so nobody can say what is private in them;
    ``column`` holds them."""

    def __init__(self, column: str) -> None:
        super().__init__(f'the bytes in column "{column}" are no UTF-8 text')
        self.column = column


_SHORTEST_NUMBER = 10**5
"""Numbers from here on are read as texts too: a phone may stand in a row without its quotes."""


def places_of(fields: Mapping[str, Any]) -> list[Place]:
    """Every text in ``fields``, nested ones included, in the order that :func:`edited` takes.

    Long whole numbers of any type count as texts, and so does what is written as one because JSON
    does not know it: bytes, and all else but dates and times.

    Raises:
        NotText: a column holds bytes that are no UTF-8 text.
    """
    return [place for column, value in _content(fields) for place in _places(column, value)]


def edited(
    fields: Mapping[str, Any], edits: Sequence[Sequence[Edit]], homes: Mapping[str, str]
) -> dict[str, Any]:
    """``fields`` with the edits of each of its places made, and the spans moved along.

    A span is an object with numbers ``start`` and ``end``, in a list; they count characters of
    another column, ``homes[column]``, or else the one in which all its texts stand where they say.
    A span that begins or ends inside an edit takes all of it in.

    Raises:
        SpansLost: a column of spans fits no text.
    """
    if not any(edits):
        return dict(fields)
    left = iter(edits)
    made: dict[str, Any] = {KEY: fields[KEY]} if KEY in fields else {}
    of_column: dict[str, Sequence[Edit]] = {}
    for column, value in _content(fields):
        if isinstance(value, str):
            of_column[column] = next(left)
            made[column] = apply(value, of_column[column])
        else:
            made[column] = _rebuilt(column, value, left)
    for column, value in _content(fields):
        if _is_spans(value):
            home = homes.get(column) or _home(value, fields)
            if home is None or not isinstance(fields.get(home), str):
                raise SpansLost(column)
            made[column] = [
                _moved(old, new, fields[home], made[home], of_column[home])
                for old, new in zip(value, made[column], strict=True)
            ]
    return {name: made[name] for name in fields}


def _content(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in fields.items() if name != KEY)


def _places(column: str, value: Any) -> Iterator[Place]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _places(str(name), inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _places(column, inner)
    elif (text := _text_of(column, value)) is not None:
        yield Place(column, text)


def _text_of(column: str, value: Any) -> str | None:
    """The text in which ``value`` is looked at; ``None`` where nothing private can be in it."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, (bool, date, time, timedelta)):
        return None
    if isinstance(value, (float, Decimal)):  # whole numbers with gaps among them become these
        if not math.isfinite(value) or value != int(value):
            return None
        value = int(value)
    if isinstance(value, int):
        return str(value) if value >= _SHORTEST_NUMBER else None
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise NotText(column) from error
    return str(value)


def _rebuilt(column: str, value: Any, edits: Iterator[Sequence[Edit]]) -> Any:
    if isinstance(value, Mapping):
        return {name: _rebuilt(str(name), inner, edits) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rebuilt(column, inner, edits) for inner in value]
    text = _text_of(column, value)
    if text is None:
        return value
    found = next(edits)
    return apply(text, found) if found else value


def _is_spans(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and bool(value)
        and all(
            isinstance(one, Mapping) and all(type(one.get(end)) is int for end in ("start", "end"))
            for one in value
        )
    )


def _home(spans: Sequence[Mapping[str, Any]], fields: Mapping[str, Any]) -> str | None:
    """The first column that has every span's text where the span says."""
    for column, text in _content(fields):
        if isinstance(text, str) and all(
            text[one["start"] : one["end"]] and text[one["start"] : one["end"]] in one.values()
            for one in spans
        ):
            return column
    return None


def _moved(
    old: Mapping[str, Any], new: Mapping[str, Any], before: str, after: str, edits: Sequence[Edit]
) -> dict[str, Any]:
    start, end = _shifted(old["start"], edits, last=False), _shifted(old["end"], edits, last=True)
    said = before[old["start"] : old["end"]]
    texts = {name: after[start:end] for name, value in old.items() if value == said}
    return {**new, **texts, "start": start, "end": end}


def _shifted(place: int, edits: Sequence[Edit], *, last: bool) -> int:
    """Where ``place`` is after ``edits``; inside one, its beginning, or with ``last`` its end."""
    moved = place
    for edit in edits:
        grown = len(edit.new) - (edit.end - edit.start)
        if edit.end <= place:
            moved += grown
        elif edit.start < place:
            return moved - (place - edit.start) + (len(edit.new) if last else 0)
    return moved
