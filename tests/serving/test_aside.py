"""Calls beside the event loop: one at a time, in turn, given up with those who asked."""

import asyncio
import gc
import threading
import weakref

import pytest

from pretune.serving.aside import Aside
from pretune.serving.refusal import Refused


class Held:
    """Work that waits until it may go on; ``done`` lists what it was called with."""

    def __init__(self) -> None:
        self.go, self.begun, self.done = threading.Event(), threading.Event(), []

    def __call__(self, what):
        self.begun.set()
        assert self.go.wait(20)
        self.done.append(what)
        if what == "bad":
            raise ValueError(what)
        return what


async def until(true) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.001)


def test_lines_take_turns_and_who_asks_much_waits_behind_itself():
    async def use():
        held = Held()
        aside = Aside(held, "calls are under way", 9)
        asked = [("a", 1), ("a", 2), ("a", 3), ("b", 4), ("c", 5), ("c", 6)]
        calls = [asyncio.create_task(aside(line, what)) for line, what in asked]
        await until(held.begun.is_set)
        held.go.set()
        assert await asyncio.gather(*calls) == [1, 2, 3, 4, 5, 6]
        # The thread may begin before or after the others are in line.
        assert held.done in ([1, 2, 4, 5, 3, 6], [1, 4, 5, 2, 6, 3])
        assert not aside.busy

    asyncio.run(use())


def test_a_line_has_an_end_and_an_error_is_its_callers():
    async def use():
        held = Held()
        aside = Aside(held, "calls are under way", 2)
        calls = [asyncio.create_task(aside("a", what)) for what in ("bad", "good")]
        await until(held.begun.is_set)
        with pytest.raises(Refused, match="2 calls are under way") as caught:
            await aside("a", 3)
        other = asyncio.create_task(aside("b", 4))
        await asyncio.wait({other}, timeout=0.01)
        assert not other.done(), "others have a line of their own"
        assert (caught.value.status, caught.value.retry_after) == (429, 1)
        held.go.set()
        bad, good = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(bad, ValueError)
        assert good == "good"
        assert await other == 4
        assert await aside("b", 3) == 3

    asyncio.run(use())


def test_who_leaves_the_line_makes_room_and_is_forgotten():
    class Large:
        """What a call would work on."""

    async def use():
        held = Held()
        aside = Aside(held, "calls are under way", 2)
        first = asyncio.create_task(aside("a", 1))
        await until(held.begun.is_set)
        large = Large()
        left = weakref.ref(large)
        second = asyncio.create_task(aside("a", large))
        await asyncio.sleep(0)
        second.cancel()
        del large
        await asyncio.gather(second, return_exceptions=True)
        del second
        await until(lambda: gc.collect() is not None and left() is None)
        third = asyncio.create_task(aside("a", 3))
        # What has begun goes on, and counts as long as it does.
        first.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(Refused):
            await aside("a", 4)
        held.go.set()
        assert await third == 3
        await until(lambda: not aside.busy)
        assert held.done == [1, 3]

    asyncio.run(use())
