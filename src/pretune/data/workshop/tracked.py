"""Rows of files with their origins, as a stream."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pretune.core import digest
from pretune.core.errors import DataError
from pretune.core.origin import Origin, origin_of
from pretune.core.records import Row
from pretune.data.rejected import Reason, Rejected
from pretune.data.sources import read_rows
from pretune.spec.data import Source

_SHOWN = 3
"""Row ids that a message lists."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """A row and where it comes from."""

    row: Row
    origin: Origin


@dataclass
class Unread:
    """Rows that could not be read: counts by reason, and the first few row ids."""

    counts: Counter[str] = field(default_factory=Counter)
    first: list[str] = field(default_factory=list)

    def add(self, row: Rejected) -> None:
        """Note ``row``; its content is not kept."""
        self.counts[row.reason.value] += 1
        if len(self.first) < _SHOWN:
            self.first.append(row.row_id)

    def finding(self) -> str | None:
        """One sentence, or ``None`` when every row was read."""
        if not self.counts:
            return None
        reasons = ", ".join(f"{reason}: {count}" for reason, count in self.counts.items())
        return f"{self.counts.total()} rows not read ({reasons}), such as {', '.join(self.first)}"


def tracked(row: Row) -> Tracked | Rejected:
    """``row`` with its origin."""
    try:
        return Tracked(row, origin_of(row.fields))
    except ValueError as error:
        return Rejected(row.id, Reason.BROKEN, str(error), row.fields)


def read_tracked(
    sources: Sequence[Source], unread: Unread, encoding: str = "utf-8"
) -> Iterator[Tracked]:
    """Rows of ``sources`` in order, one in memory at a time; those that cannot be read go to
    ``unread``.

    Raises:
        DataError: a file that is not there, or is broken as a whole.
    """
    for source in sources:
        for row in read_rows(source, encoding):
            found = row if isinstance(row, Rejected) else tracked(row)
            if isinstance(found, Rejected):
                unread.add(found)
            else:
                yield found


def file_digests(paths: Sequence[Path]) -> dict[str, str]:
    """Digest of each file by its name; of two files of one name, by folder and name.

    Raises:
        DataError: a file that cannot be read, or the same one twice.
    """
    names = Counter(path.name for path in paths)
    found: dict[str, str] = {}
    for path in paths:
        name = path.name if names[path.name] == 1 else f"{path.resolve().parent.name}/{path.name}"
        if name in found:
            raise DataError(f'"{name}" is given twice; name it once, or rename its folder')
        try:
            found[name] = digest.of_file(path)
        except OSError as error:
            read_rows(path)  # says in words what is wrong with the path
            raise DataError(f'cannot read "{path}": {error.strerror}') from error
    return found
