"""Streams of answers over HTTP, all at once; a program of its own, so that reading the answers is
not the server's work: bodies as JSON on stdin, ``seconds`` and ``pieces`` on stdout.

Every connection stands before the clock starts.
"""

import asyncio
import json
import sys
import time
from contextlib import closing
from typing import Any, NamedTuple

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Streamed(NamedTuple):
    """A stream read to its end: how many ``pieces`` with text or a token, and when (by
    ``time.perf_counter``) the first one came."""

    pieces: int
    first: float


_LINE = 2**22
"""Bytes of an event: the last one of a task with thousands of labels has the scores of all."""


async def connected(port: int) -> Connection:
    """A connection to the server on ``port`` of this machine."""
    return await asyncio.open_connection("127.0.0.1", port, limit=_LINE)


async def stream(
    connection: Connection, body: dict[str, Any], path: str = "/v1/completions"
) -> Streamed:
    """Send ``body`` and read the answer to its end.

    Raises:
        RuntimeError: another status than 200, or no proper end; holds what was said.
    """
    reader, writer = connection
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    )
    pieces, first, ended = 0, 0.0, False
    with closing(writer):
        writer.write(head.encode() + data)
        await writer.drain()
        status = await reader.readline()
        if b" 200 " not in status:
            raise RuntimeError((status + await reader.read()).decode(errors="replace"))
        while line := await reader.readline():
            ended = ended or line.startswith(b"data: [DONE]")
            if line.startswith(b'data: {"error"'):
                raise RuntimeError(line.decode(errors="replace"))
            if line.startswith(b"data: {"):
                first = first or time.perf_counter()
                pieces += b'"finish_reason": null' in line
    if not ended:
        raise RuntimeError("the stream broke off")
    return Streamed(pieces, first or time.perf_counter())


async def run(port: int, bodies: list[dict[str, Any]]) -> dict[str, float]:
    """All ``bodies`` at once."""
    connections = [await connected(port) for _ in bodies]
    began = time.perf_counter()
    streamed = await asyncio.gather(*map(stream, connections, bodies))
    pieces = sum(one.pieces for one in streamed)
    return {"seconds": time.perf_counter() - began, "pieces": pieces}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(int(sys.argv[1]), json.load(sys.stdin)))))
