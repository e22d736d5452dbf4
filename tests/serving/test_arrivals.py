"""Requests at given times against servers that hold, refuse or break off."""

import asyncio
import contextlib
import json
import time
from types import SimpleNamespace

import pytest

from pretune.serving import arrivals
from pretune.serving.arrivals import run
from pretune.serving.streams import stream

STREAM = b"HTTP/1.1 200 OK\r\n\r\n"


@contextlib.asynccontextmanager
async def answering(answer):
    """A server on loopback; ``answer`` gets each body and a writer."""

    async def handle(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await answer(json.loads(await reader.readexactly(size)), writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def whole(writer):
    writer.write(b'HTTP/1.1 200 OK\r\n\r\ndata: {"finish_reason": null}\n\ndata: [DONE]\n\n')


def asked(count, at=None, seconds=60.0):
    return {"bodies": [{"n": n} for n in range(count)], "at": at, "seconds": seconds}


def test_nobody_waits_for_an_earlier_answer():
    """The first answer comes only once the third request is there."""

    async def go():
        third = asyncio.Event()

        async def answer(body, writer):
            assert body["stream"] is True
            if body["n"] == 2:
                third.set()
            await asyncio.wait_for(third.wait(), 20)
            await whole(writer)

        async with answering(answer) as port:
            return await run(port, asked(3, [0.0, 0.01, 0.02]))

    told = asyncio.run(go())
    assert (len(told["latency"]), told["failed"]) == (3, 0)


def test_the_scores_of_thousands_of_labels_are_one_long_line():
    async def go():
        async def answer(_body, writer):
            scores = b"0" * 2**18
            writer.write(STREAM + b"data: {" + scores + b"}\n\ndata: [DONE]\n\n")
            await writer.drain()

        async with answering(answer) as port:
            return await run(port, asked(1))

    assert asyncio.run(go())["failed"] == 0


def test_one_after_another_waits():
    under_way, most = 0, 0

    async def go():
        async def answer(_body, writer):
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await whole(writer)
            under_way -= 1

        async with answering(answer) as port:
            return await run(port, asked(5))

    assert len(asyncio.run(go())["latency"]) == 5
    assert most == 1


def test_the_first_piece_is_noted_when_it_comes(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))

    class Scripted:
        """Each line takes two ticks."""

        lines = iter(
            [
                b"HTTP/1.1 200 OK",
                b"",
                b'data: {"finish_reason": null}',
                b"data: {}",
                b"data: [DONE]",
            ]
        )

        async def readline(self):
            time.perf_counter(), time.perf_counter()
            line = next(self.lines, None)
            return b"" if line is None else line + b"\n"

    writer = SimpleNamespace(write=lambda _: None, drain=lambda: asyncio.sleep(0), close=list)
    found = asyncio.run(stream((Scripted(), writer), {}))
    assert found == (1, 6.0)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 429 Too Many\r\n\r\nbusy",
        b"",
        STREAM + b'data: {"finish_reason": null}\n\ndata: {"error": {}}\n\ndata: [DONE]\n\n',
        STREAM + b'data: {"finish_reason": null}\n\n',
    ],
)
def test_what_is_refused_or_broken_off_counts_as_long(said):
    async def go():
        async def answer(_body, writer):
            writer.write(said)

        async with answering(answer) as port:
            return await run(port, asked(2, [0.0, 0.0]))

    told = asyncio.run(go())
    assert told["failed"] == 2
    assert told["latency"] == told["first"] == [arrivals.FAILED] * 2


def test_a_time_counts_from_when_a_request_was_due(monkeypatch):
    """A client that is late itself does not spare the server."""
    pause = asyncio.sleep

    async def late(seconds):
        time.sleep(0.2)
        await pause(seconds)

    monkeypatch.setattr(asyncio, "sleep", late)

    async def go():
        async with answering(lambda _body, writer: whole(writer)) as port:
            return await run(port, asked(2, [0.0, 0.0]))

    # Both were due at the start; the second was sent after two pauses.
    assert min(asyncio.run(go())["latency"]) >= 0.4
