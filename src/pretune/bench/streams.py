"""Streams of completions over HTTP, all at once; a program of its own, so that reading the answers
is not the server's work: bodies as JSON on stdin, ``seconds`` and ``pieces`` on stdout.

Every connection stands before the clock starts.
"""

import asyncio
import json
import sys
import time
from typing import Any

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def stream(connection: Connection, body: dict[str, Any]) -> int:
    """Send ``body`` and read to the end; the number of pieces with text or a token."""
    reader, writer = connection
    data = json.dumps(body).encode()
    head = (
        "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + data)
    await writer.drain()
    status = await reader.readline()
    if b" 200 " not in status:
        raise RuntimeError((status + await reader.read()).decode(errors="replace"))
    pieces = 0
    while line := await reader.readline():
        pieces += line.startswith(b"data: {") and b'"finish_reason": null' in line
    writer.close()
    return pieces


async def run(port: int, bodies: list[dict[str, Any]]) -> dict[str, float]:
    """All ``bodies`` at once."""
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in bodies]
    began = time.perf_counter()
    pieces = await asyncio.gather(*map(stream, connections, bodies))
    return {"seconds": time.perf_counter() - began, "pieces": sum(pieces)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(int(sys.argv[1]), json.load(sys.stdin)))))
