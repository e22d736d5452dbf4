"""Generated ids to text, piece by piece, and stop texts."""

from collections.abc import Callable, Sequence

Decode = Callable[[Sequence[int]], str]

BROKEN = "\ufffd"
"""What a decoder writes for the beginning of a character whose other bytes are still to come."""

_BEFORE = 5
"""Ids that are decoded again before new ones: what comes first is often written differently."""

_AFTER = 4
"""A character has at most four bytes, and a token at least one: what is older is complete."""

_MOST = 16
"""Ids that may wait for the end of a character; more are no text, and are told as they are."""


class Letters:
    """Ids that come one by one, as text: each is decoded a few times, however long the text grows.

    ``spell`` gives the text of ids with its outer white space. What was told and :attr:`tail`
    together are the text of all ids, for any tokenizer whose tokens are bytes or words. (One that
    falls back to bytes writes a whole run of them as broken if any of it is: there the runs
    before a break stay as they were told.)
    """

    def __init__(self, spell: Decode) -> None:
        self._spell = spell
        self._before: list[int] = []
        self._known = ""
        self._waiting: list[int] = []
        self.tail = ""

    def add(self, ids: Sequence[int]) -> str:
        """Take up ``ids``; the text that is certain now. What may yet change is the tail."""
        self._waiting += ids
        count = len(self._waiting)
        for end in range(count, max(count - _AFTER, 0), -1):
            text = self._new(end)
            if not text.endswith(BROKEN):
                return self._settle(text, end)
        self.tail = self._new(count)
        if count <= _MOST:
            return ""
        ends = range(count - _AFTER, 0, -1)
        end = next((end for end in ends if self._apart(end)), ends[0])
        return self._settle(self._new(end), end)

    def _new(self, end: int) -> str:
        return self._spell(self._before + self._waiting[:end])[len(self._known) :]

    def _apart(self, end: int) -> bool:
        """Whether no character has bytes on both sides."""
        return self.tail == self._new(end) + self._spell(self._waiting[end:])

    def _settle(self, text: str, end: int) -> str:
        ids, self._waiting = self._waiting[:end], self._waiting[end:]
        if text:
            self._remember(self._before + ids)
        self.tail = self._new(len(self._waiting)) if self._waiting else ""
        return text

    def _remember(self, ids: list[int]) -> None:
        """The last of ``ids``, from the beginning of a character if there is one."""
        for count in range(_BEFORE, _BEFORE + _AFTER):
            self._before = ids[-count:]
            self._known = self._spell(self._before)
            if BROKEN not in self._known:
                return


class TextStream:
    """The text of ids that come one by one; :meth:`add` returns what is new and certain.

    What might still become part of a stop text, or of a character, is held back, and so is white
    space: none stands at either end of an answer. The pieces together are what :attr:`text` is at
    the end.
    """

    def __init__(self, spell: Decode, stops: Sequence[str] = ()) -> None:
        self._letters = Letters(spell)
        self._stops = tuple(stops)
        self._told: list[str] = []
        self._held = ""
        self._space: list[str] = []
        self._ended = False

    @property
    def text(self) -> str:
        """All that was told."""
        return "".join(self._told)

    def add(self, ids: Sequence[int]) -> str:
        """Take up ``ids``; those after a stop text say nothing."""
        if self._ended or not ids:
            return ""
        self._hold(self._letters.add(ids))
        end = _first(self._held, self._stops)
        self._ended = end is not None
        if end is None:
            overlaps = (_overlap(self._held, stop) for stop in self._stops)
            end = len(self._held) - max(overlaps, default=0)
        return self._tell(end)

    def close(self) -> str:
        """What was held back: no more ids will come."""
        if self._ended:
            return ""
        self._hold(self._letters.tail)
        self._ended = True
        return self._tell(len(until_stop(self._held, self._stops)))

    def _hold(self, text: str) -> None:
        """White space waits apart for what may come after it, however much there is of it."""
        if not self._told and not self._held:
            text = text.lstrip()
        body = text.rstrip()
        if body:
            self._held += "".join(self._space) + body
            self._space = []
        self._space.append(text[len(body) :])

    def _tell(self, end: int) -> str:
        piece, self._held = self._held[:end], self._held[end:]
        if piece:
            self._told.append(piece)
        return piece


def until_stop(text: str, stops: Sequence[str]) -> str:
    """``text`` up to the first of ``stops`` in it."""
    return text[: _first(text, stops)]


def _first(text: str, stops: Sequence[str]) -> int | None:
    return min((place for stop in stops if (place := text.find(stop)) >= 0), default=None)


def stop_test(decode: Decode, stops: Sequence[str]) -> Callable[[Sequence[int]], bool]:
    """Whether ids complete one of ``stops``; looks no further back than the longest could reach."""
    # A token is at least one byte, and a character of a stop text at most four.
    reach = 4 * max(map(len, stops)) + 8

    def complete(ids: Sequence[int]) -> bool:
        tail = decode(ids[-reach:])
        return any(stop in tail for stop in stops)

    return complete


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that is a beginning of ``stop``."""
    most = min(len(text), len(stop) - 1)
    return next((size for size in range(most, 0, -1) if text.endswith(stop[:size])), 0)
