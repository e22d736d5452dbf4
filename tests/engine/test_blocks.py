"""Blocks under any order of events, against a model that is plain dictionaries."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pretune.engine.blocks import BlockPool, BooksAreWrong, OutOfBlocks

SIZE = 6


class Blocks(RuleBasedStateMachine):
    """Sequences take, name, share and release blocks; ``content`` is what each would hold."""

    def __init__(self):
        super().__init__()
        self.pool = BlockPool(SIZE)
        self.sequences: list[list[int]] = []
        self.content: dict[int, bytes] = {}
        self.named = 0

    @rule()
    def start(self):
        self.sequences.append([])

    @precondition(lambda self: self.sequences)
    @rule(data=st.data())
    def grow(self, data):
        sequence = data.draw(st.sampled_from(self.sequences))
        available = self.pool.available
        if not available:
            with pytest.raises(OutOfBlocks):
                self.pool.take()
            return
        block = self.pool.take()
        assert self.pool.available == available - 1
        assert block not in [b for s in self.sequences for b in s]
        assert block in self.pool.fresh()
        self.content.pop(block, None)
        sequence.append(block)

    @precondition(lambda self: any(self.sequences))
    @rule(data=st.data())
    def name(self, data):
        block = data.draw(st.sampled_from([b for s in self.sequences for b in s]))
        if block in self.content:
            return
        self.named += 1
        key = str(self.named).encode()
        self.pool.name(block, key)
        self.content[block] = key

    @precondition(lambda self: any(self.sequences))
    @rule(data=st.data())
    def name_a_double(self, data):
        """Two sequences wrote the same at the same time: one block is known, both are held."""
        block = data.draw(st.sampled_from([b for s in self.sequences for b in s]))
        others = sorted(set(self.content.values()))
        if block in self.content or not others:
            return
        key = data.draw(st.sampled_from(others))
        self.pool.name(block, key)
        assert self.pool.find(key) != block

    @precondition(lambda self: self.sequences and self.content)
    @rule(data=st.data())
    def share(self, data):
        block, key = data.draw(st.sampled_from(sorted(self.content.items())))
        assert self.pool.find(key) == block
        sequence = data.draw(st.sampled_from(self.sequences))
        if block not in sequence:
            self.pool.hold(block)
            sequence.append(block)

    @precondition(lambda self: self.sequences)
    @rule(data=st.data())
    def end(self, data):
        sequence = data.draw(st.sampled_from(self.sequences))
        self.sequences.remove(sequence)
        self.pool.release(sequence)

    @rule()
    def forget(self):
        held = {b for s in self.sequences for b in s}
        self.pool.forget()
        assert self.pool.kept == 0
        self.content = {b: key for b, key in self.content.items() if b in held}

    @invariant()
    def nothing_is_lost(self):
        self.pool.check([b for s in self.sequences for b in s])
        for block, key in self.content.items():
            assert self.pool.find(key) == block


Blocks.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestBlocks = Blocks.TestCase


def test_the_end_of_a_sequence_is_forgotten_first():
    pool = BlockPool(3)
    blocks = [pool.take() for _ in range(3)]
    for i, block in enumerate(blocks):
        pool.name(block, bytes([i]))
    pool.release(blocks)
    assert pool.take() == blocks[2]
    assert pool.find(bytes([0])) == blocks[0]
    assert pool.find(bytes([2])) is None


def kept_and_free():
    """Block 0 is kept, as ``x``; 1 to 3 are free."""
    pool = BlockPool(4)
    block = pool.take()
    pool.name(block, b"x")
    pool.release([block])
    return pool


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda pool: pool._free.remove(2), r"blocks \[2\] are lost"),
        (lambda pool: pool._free.append(2), "free twice"),
        (lambda pool: pool._free.append(0), r"blocks \[0\] are free and kept"),
        (lambda pool: pool._holders.__setitem__(2, 1), r"blocks \[2\] are held by nobody known"),
        (lambda pool: pool._kept.__setitem__(pool._free.pop(), None), "kept without a key"),
        (lambda pool: pool._by_key.clear(), "leads to another block"),
        (lambda pool: pool.name(2, b"y"), r"blocks \[2\] are free and have a key"),
    ],
)
def test_the_check_finds_damage_and_says_which(damage, words):
    """By an error of its own: a plain ``assert`` is not there under ``python -O``."""
    pool = kept_and_free()
    pool.check([])
    damage(pool)
    with pytest.raises(BooksAreWrong, match=words):
        pool.check([])


def test_the_check_finds_a_block_that_is_held_and_can_be_taken():
    pool = BlockPool(4)
    block = pool.take()
    pool.check([block])
    pool._free.append(block)
    with pytest.raises(BooksAreWrong, match="while they are held"):
        pool.check([block])
