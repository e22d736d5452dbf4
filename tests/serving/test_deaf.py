"""Clients that ask and then read nothing, on real sockets."""

import gc
import json
import queue
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2 as httpx
import pytest
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from pretune.api.serve import ServeOptions, Server
from pretune.serving import wire
from pretune.serving.app import create_app
from serving.conftest import service_in_memory


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[tuple[Server, str]]:
    """As ``pretune serve`` has it, with little patience and a small buffer for each connection."""
    monkeypatch.setattr(wire, "PATIENCE", 1.0)  # the system's
    service, _, _ = service_in_memory(tmp_path, ends=False)
    told: queue.Queue[str] = queue.Queue()
    server = Server(create_app(service), ServeOptions(port=0), told.put)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    url = told.get(timeout=20)
    monkeypatch.setattr(wire, "PATIENCE", 0.2)  # a stream's, which so comes first
    for listener in server.servers[0].sockets:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**12)
    gc.disable()  # what is let go must not wait for the collector
    try:
        yield server, url
    finally:
        gc.enable()
        server.should_exit = server.force_exit = True
        thread.join(20)
        assert not thread.is_alive()


@contextmanager
def deaf(url: str, **body) -> Iterator[socket.socket]:
    """A client that asks for much and reads nothing of it."""
    asked = {"model": "base", "prompt": "Which rate?", "logprobs": 5, **body}
    data = json.dumps(asked)
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**11)
        one.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        head = f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(data)}"
        one.sendall(f"{head}\r\nContent-Type: application/json\r\n\r\n{data}".encode())
        yield one


def until(true, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def unsent(server: Server) -> int:
    """Bytes that connections wait to get rid of."""
    connections = list(server.server_state.connections)
    return sum(one.transport.get_write_buffer_size() for one in connections)


def works(url: str) -> bool:
    body = {"model": "base", "prompt": "Why?", "max_tokens": 1}
    return httpx.post(f"{url}/v1/completions", json=body, timeout=20).status_code == 200


def closed(server: Server, client: socket.socket) -> bool:
    """Whether nothing is left of the connection on either side."""
    until(lambda: not server.server_state.connections)
    client.settimeout(20)
    try:
        while client.recv(2**16):
            pass
    except ConnectionError:
        pass
    return not unsent(server)


def test_a_stream_that_nobody_reads_is_given_up_with_its_connection(server):
    """The engine is held where the client alone asks, so that the answers do not just end."""
    server, url = server
    service = server.config.app.state.service
    engine, full = service.worker._engine, 0
    step = engine.step

    def held():
        nonlocal full
        full += unsent(server) > HIGH_WATER_LIMIT
        while full > 3 and service.worker.load == 4:
            time.sleep(0.005)
        return step()

    engine.step = held
    with deaf(url, max_tokens=150, stream=True, n=4) as client:
        until(lambda: service.worker.load)
        until(lambda: full > 3 or not service.worker.load)
        assert works(url)
        until(lambda: not service.worker.load)
        until(lambda: not service.admission._keys[""]._under_way)
        until(lambda: not service.worker.stats().blocks_held)
        assert closed(server, client)
    assert engine.stats().steps < 150
    assert works(url)


def test_a_whole_answer_that_nobody_reads_does_not_keep_its_connection(server):
    server, url = server
    service = server.config.app.state.service
    with deaf(url, max_tokens=100, n=2) as client:
        until(lambda: unsent(server))
        assert works(url)
        assert not service.worker.load
        assert not service.admission._keys[""]._under_way
        assert closed(server, client)
