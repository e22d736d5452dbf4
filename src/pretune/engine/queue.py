"""The queue: who of the waiting is next, so that no group of requests can starve another.

Start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996, section 2): a request starts, in virtual
time, where its group's last one ended, or now if that is past; it ends its tokens over its weight
later; and "now" is the start of whoever was let in last. So a group that has queued two hundred
requests is far ahead of its own time, and the one request of another stands before all of them.
"""

from bisect import insort
from collections.abc import Iterator
from operator import attrgetter

from pretune.engine.sequence import Sequence


class FairQueue:
    """Sequences in order of their ``turn``: virtual start, then arrival. Where one group waits
    alone, or nobody does, that is the order of arrival."""

    def __init__(self) -> None:
        self._waiting: list[Sequence] = []
        self._ends: dict[str, float] = {}
        self._now = 0.0
        self._arrived = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self._waiting)

    def add(self, sequence: Sequence) -> None:
        """Queue a new sequence."""
        if not self._waiting:
            self._ends.clear()  # nobody is kept waiting, so nothing counts that was
        group = sequence.group
        start = max(self._now, self._ends.get(group, 0.0))
        self._ends[group] = start + sequence.most_tokens / sequence.request.weight
        self._arrived += 1
        sequence.turn = (start, self._arrived)
        self.put_back(sequence)

    def put_back(self, sequence: Sequence) -> None:
        """Queue a sequence again that was let in before: at its old turn, ahead of all that had to
        wait for it."""
        insort(self._waiting, sequence, key=attrgetter("turn"))

    def let_in(self, sequence: Sequence) -> None:
        """Take out the sequence that runs next."""
        self._waiting.remove(sequence)
        self._now = max(self._now, sequence.turn[0])

    def remove(self, sequence: Sequence) -> None:
        """Take out a sequence that will not run."""
        self._waiting.remove(sequence)
