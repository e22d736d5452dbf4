"""Requests at given times, whether or not earlier ones are done; a program of its own, so that
reading the answers is not the server's work.

On stdin JSON: ``bodies``, ``at`` (seconds from the start of each, or null: one after another) and
``seconds`` after which no more is sent. On stdout ``latency`` and ``first`` (seconds of each
request to the end and to the first piece), ``failed``, and ``seconds`` of the whole.

A time counts from the moment at which a request was due, so that a server that is behind is not
spared the waiting that it causes. A request that failed counts as :data:`FAILED` seconds.
"""

import asyncio
import json
import sys
import time
from typing import Any

from pretune.serving.streams import connected, stream

PATH = "/v1/chat/completions"

FAILED = 60.0
"""Seconds that a failed request counts as, and most that one may take."""


class Arrivals:
    """Requests to the server on ``port``."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.latency: list[float] = []
        self.first: list[float] = []
        self.failed = 0

    async def one(self, body: dict[str, Any], due: float) -> None:
        """Ask, and note the times since ``due``."""
        try:
            async with asyncio.timeout(FAILED):
                connection = await connected(self._port)
                streamed = await stream(connection, body | {"stream": True}, PATH)
        except (RuntimeError, OSError, TimeoutError):
            self.failed += 1
            self.latency.append(FAILED)
            self.first.append(FAILED)
        else:
            self.latency.append(time.perf_counter() - due)
            self.first.append(streamed.first - due)

    async def each(self, bodies: list[dict[str, Any]], seconds: float) -> None:
        """One after another, for ``seconds``."""
        end = time.perf_counter() + seconds
        for body in bodies:
            now = time.perf_counter()
            if now > end:
                return
            await self.one(body, now)

    async def at_times(self, bodies: list[dict[str, Any]], at: list[float]) -> None:
        """Each at its time."""
        began = time.perf_counter()
        under_way = []
        for body, offset in zip(bodies, at, strict=True):
            due = began + offset
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            under_way.append(asyncio.create_task(self.one(body, due)))
        await asyncio.gather(*under_way)


async def run(port: int, asked: dict[str, Any]) -> dict[str, Any]:
    """All that was ``asked``."""
    arrivals, began = Arrivals(port), time.perf_counter()
    if asked["at"] is None:
        await arrivals.each(asked["bodies"], asked["seconds"])
    else:
        await arrivals.at_times(asked["bodies"], asked["at"])
    return {
        "latency": arrivals.latency,
        "first": arrivals.first,
        "failed": arrivals.failed,
        "seconds": time.perf_counter() - began,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(int(sys.argv[1]), json.load(sys.stdin)))))
