"""Which of many ids came before, in about 12 to 24 bytes an id."""

from array import array

_EMPTY = 0


class Seen:
    """A set of 64-bit ids in one flat table (open addressing, linear probing, at most 2/3 full).

    Python's own set takes some 90 bytes an id: too much for millions.
    """

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 * 1024))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, value: int) -> bool:
        """Take in ``value`` (0 <= value < 2**64); whether it is new."""
        value = value or 1  # 0 marks an empty place; a clash of 0 and 1 is one of 2**64
        place = self._find(value)
        if self._table[place] == value:
            return False
        self._table[place] = value
        self._count += 1
        if 3 * self._count > 2 * len(self._table):
            self._grow()
        return True

    def _find(self, value: int) -> int:
        """Where ``value`` is, or the empty place for it."""
        table, mask = self._table, len(self._table) - 1
        place = value & mask
        while table[place] not in (_EMPTY, value):
            place = (place + 1) & mask
        return place

    def _grow(self) -> None:
        old = self._table
        self._table = array("Q", bytes(16 * len(old)))
        for value in old:
            if value != _EMPTY:
                self._table[self._find(value)] = value
