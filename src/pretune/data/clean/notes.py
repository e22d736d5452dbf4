"""What each row asks and answers, in a file: any row again, without reading the sources anew."""

import json
from array import array
from pathlib import Path
from typing import NamedTuple


class Note(NamedTuple):
    """A row by its id: what it asks, what it answers."""

    row: str
    text: str
    answer: str


class Notes:
    """Notes by number, from 0 on; 8 bytes of each stay in memory."""

    def __init__(self, path: Path) -> None:
        """Begin empty, in the new file ``path``."""
        self._file = path.open("w+b")
        self._starts = array("Q")
        self._end = 0

    def __len__(self) -> int:
        return len(self._starts)

    def add(self, note: Note) -> None:
        """Take in the next row's note."""
        self._starts.append(self._end)
        self._end += self._file.write(json.dumps(note).encode() + b"\n")

    def __getitem__(self, number: int) -> Note:
        self._file.seek(self._starts[number])
        return Note(*json.loads(self._file.readline()))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
