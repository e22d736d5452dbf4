"""Blocks of the KV cache: who holds which, and which can be used again. Only bookkeeping.

A block is *held* by one or more sequences, *kept* (held by none, but what it contains is known by
its key, so that it can be taken up again until the room is needed), or *free*.
"""

from collections import OrderedDict
from collections.abc import Iterable

Key = bytes
"""Names what a block contains: its tokens, who wrote them, and all that came before."""


class OutOfBlocks(Exception):
    """Every block is held."""


class BooksAreWrong(RuntimeError):
    """A block, slot or request that no record accounts for (law 11): a defect of ours."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}: the engine's books are wrong; restart it, and report this fault")


def insist(true: bool, what: str) -> None:
    """Raise :class:`BooksAreWrong` with ``what`` unless ``true``; ``python -O`` does not remove it.

    Who serves logs the line that called, so each statement has its own.
    """
    if not true:
        raise BooksAreWrong(what)


class BlockPool:
    """``size`` blocks. Not thread-safe: one engine owns it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = list(reversed(range(size)))
        self._kept: OrderedDict[int, None] = OrderedDict()
        self._holders = [0] * size
        self._key_of: dict[int, Key] = {}
        self._by_key: dict[Key, int] = {}
        self._fresh: list[int] = []

    @property
    def available(self) -> int:
        """Blocks that :meth:`take` can give: free and kept ones."""
        return len(self._free) + len(self._kept)

    @property
    def kept(self) -> int:
        """Blocks that nobody holds and whose content is known."""
        return len(self._kept)

    @property
    def held(self) -> int:
        """Blocks that at least one sequence holds."""
        return self.size - self.available

    def take(self) -> int:
        """A block of unknown content, held once: a free one, or the kept one that was let go of
        first, whose content is forgotten.

        Raises:
            OutOfBlocks: every block is held; nothing changed.
        """
        if self._free:
            block = self._free.pop()
        elif self._kept:
            block, _ = self._kept.popitem(last=False)
            del self._by_key[self._key_of.pop(block)]
        else:
            raise OutOfBlocks
        self._holders[block] = 1
        self._fresh.append(block)
        return block

    def fresh(self) -> list[int]:
        """Blocks taken since the last call: they hold another sequence's leftovers."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def find(self, key: Key) -> int | None:
        """The block with this content, held or kept; changes nothing."""
        return self._by_key.get(key)

    def is_kept(self, block: int) -> bool:
        """Whether nobody holds this block from :meth:`find`."""
        return not self._holders[block]

    def hold(self, block: int) -> None:
        """One holder more for a block from :meth:`find`."""
        if not self._holders[block]:
            del self._kept[block]
        self._holders[block] += 1

    def release(self, blocks: Iterable[int]) -> None:
        """One holder less for each. Of blocks let go of together the last is forgotten first, so
        that what remains of a sequence is always its beginning."""
        for block in reversed(list(blocks)):
            self._holders[block] -= 1
            if self._holders[block]:
                continue
            if block in self._key_of:
                self._kept[block] = None
            else:
                self._free.append(block)

    def name(self, block: int, key: Key) -> None:
        """Record what a held and completely written block contains. Where another block has the
        same content, that one stays the known one."""
        if key not in self._by_key and block not in self._key_of:
            self._by_key[key] = block
            self._key_of[block] = key

    def forget(self) -> None:
        """Make every kept block free: nothing is taken up again."""
        while self._kept:
            block, _ = self._kept.popitem()
            del self._by_key[self._key_of.pop(block)]
            self._free.append(block)

    def check(self, held: Iterable[int]) -> None:
        """Law 11: free + kept + held = all, and ``held`` (with repetitions, as sequences hold them)
        are exactly the holders on record.

        Raises:
            BooksAreWrong: a block was lost, or is in two states.
        """
        counted = [0] * self.size
        for block in held:
            counted[block] += 1
        wrong = [block for block, count in enumerate(counted) if count != self._holders[block]]
        insist(not wrong, f"blocks {wrong} are held by nobody known, or by more than is on record")
        free, kept = set(self._free), set(self._kept)
        insist(len(free) == len(self._free), "a block is free twice")
        insist(not free & kept, f"blocks {sorted(free & kept)} are free and kept")
        unheld = {block for block, holders in enumerate(counted) if not holders}
        lost, given = sorted(unheld - free - kept), sorted((free | kept) - unheld)
        insist(not lost, f"blocks {lost} are lost: nobody holds them, and none can be taken")
        insist(not given, f"blocks {given} can be taken while they are held")
        keyless = sorted(kept - set(self._key_of))
        insist(not keyless, f"blocks {keyless} are kept without a key")
        named = {block: key for key, block in self._by_key.items()}
        insist(named == self._key_of, "a key leads to another block than the one that has it")
        keyed = sorted(free & set(self._key_of))
        insist(not keyed, f"blocks {keyed} are free and have a key")
