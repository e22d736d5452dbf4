"""Work in threads whose results come in the order of the work."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

_AHEAD = 4
"""Pieces of work begun before they are due, for each thread."""


def in_order(work: Callable[[A], B], items: Iterable[A], threads: int) -> Generator[B, None, None]:
    """``work`` of each item, in the order of ``items``, which are taken as they are needed.

    When one fails, or the caller stops, what has not begun is left undone and what has is waited
    for.
    """
    given = iter(items)
    waiting: deque[Future[B]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        while True:
            while len(waiting) < threads * _AHEAD:
                try:
                    waiting.append(pool.submit(work, next(given)))
                except StopIteration:
                    break
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
