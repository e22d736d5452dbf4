"""Generated ids to text, piece by piece, and stop texts."""

from collections.abc import Callable, Sequence

Decode = Callable[[Sequence[int]], str]

_BROKEN = "\ufffd"
"""What a decoder writes for the beginning of a character whose other bytes are still to come."""


class TextStream:
    """The text of ids that come one by one; :meth:`add` returns what is new and certain.

    What might still become part of a stop text, or of a character, is held back. The pieces
    together are what :attr:`text` is at the end.
    """

    def __init__(self, decode: Decode, stops: Sequence[str] = ()) -> None:
        self._decode = decode
        self._stops = tuple(stops)
        self._ids: list[int] = []
        self._told = 0
        self.text = ""

    def add(self, ids: Sequence[int]) -> str:
        """Take up ``ids``."""
        self._ids += ids
        self.text = until_stop(self._decode(self._ids), self._stops)
        certain = len(self.text.rstrip(_BROKEN))
        held = max((_overlap(self.text[:certain], stop) for stop in self._stops), default=0)
        return self._tell(certain - held)

    def close(self) -> str:
        """What was held back: no more ids will come."""
        return self._tell(len(self.text))

    def _tell(self, end: int) -> str:
        piece = self.text[self._told : end]
        self._told = max(self._told, end)
        return piece


def until_stop(text: str, stops: Sequence[str]) -> str:
    """``text`` up to the first of ``stops`` in it."""
    ends = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(ends, default=len(text))]


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
