"""A server on loopback, in this process, over a tiny base with a few tasks."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import httpx2 as httpx
import pytest
import uvicorn
from starlette.types import ASGIApp

from laws.cases import CONFIGS, make_adapter
from pretune.adapters.adapter import Adapter
from pretune.bases.fakes import tiny_base
from pretune.core.scope import Scope
from pretune.engine.engine import Engine, Size
from pretune.monitoring.prometheus import Prometheus
from pretune.serving.admission import Admission
from pretune.serving.app import Service, create_app
from pretune.serving.catalogue import Catalogue, ServedTask
from pretune.serving.grammars import Grammars
from pretune.serving.keys import Keys, hashed
from pretune.serving.worker import Worker
from pretune.spec.limits import LimitsSpec
from pretune.spec.task import TaskSpec, parse_task

KEY = "a-key-that-is-long-enough"
LABELS = {"low": "low", "high": "very high"}


def task(name: str, folder, **changes) -> TaskSpec:
    (folder / "rows.jsonl").write_text("{}\n")
    value = {
        "name": name,
        "data": {"train": "rows.jsonl"},
        "template": {"system": "Be brief.", "user": "{text}", "target": "{answer}"},
        "generate": {"max_new_tokens": 6},
    }
    return parse_task(value | changes, folder=folder)


class Running(NamedTuple):
    url: str
    service: Service
    adapters: dict[str, Adapter]
    worker: Worker
    base: object


def start(app) -> tuple[uvicorn.Server, threading.Thread, str]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    end = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < end, "the server did not start"
        time.sleep(0.01)
    return server, thread, f"http://127.0.0.1:{listener.getsockname()[1]}"


def service_in_memory(
    folder, *, keys=(), most=32, blocks=200, slots=2, ends=True, limits=None
) -> tuple[Service, dict[str, Adapter], object]:
    base = tiny_base(max_position_embeddings=1024)
    adapters = {
        "free": make_adapter(base, CONFIGS["lora"], Scope.PROMPT),
        "labels": make_adapter(base, CONFIGS["bottleneck"], Scope.PROMPT, seed=1),
        "document": make_adapter(base, CONFIGS["prefix_tuning"], Scope.SUFFIX, seed=2),
    }
    document = {"context": "{text}", "user": "{question}", "target": "{answer}"}
    specs = {
        "free": task("free", folder),
        "labels": task(
            "labels",
            folder,
            template={"system": "How?", "user": "{text}", "target": "{label}"},
            labels=LABELS,
        ),
        "document": task("document", folder, scope="suffix", template=document),
    }
    end_ids = base.renderer.end_ids if ends else ()
    engine = Engine(base, end_ids, adapters.__getitem__, Size(blocks, 4, slots, 64, 16))
    worker = Worker(engine, most)
    served = [ServedTask("base"), *(ServedTask(n, specs[n], n) for n in adapters)]
    service = Service(
        worker=worker,
        catalogue=Catalogue(base.renderer, base.anatomy.vocabulary, served),
        renderer=base.renderer,
        grammars=Grammars(
            base.renderer.tokenizer_json, base.renderer.end_ids, base.anatomy.vocabulary
        ),
        keys=Keys(map(hashed, keys)),
        admission=Admission(LimitsSpec.model_validate(limits or {})),
        meter=Prometheus(),
        longest=blocks * 4,
    )
    return service, adapters, base


def serve_in_memory(folder, **options) -> Iterator[Running]:
    service, adapters, base = service_in_memory(folder, **options)
    server, thread, url = start(create_app(service))
    try:
        yield Running(url, service, adapters, service.worker, base)
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


class Inside(NamedTuple):
    """A server without a socket; its engine runs, requests are handed to the application."""

    app: ASGIApp
    service: Service

    def send(self, *requests: tuple[str, str, dict]) -> list[httpx.Response]:
        """Method, path and options of requests, made all at once."""

        async def all_at_once() -> list[httpx.Response]:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://inside") as client:
                sent = (client.request(method, path, **how) for method, path, how in requests)
                return await asyncio.wait_for(asyncio.gather(*sent), 60)

        return asyncio.run(all_at_once())

    def post(self, path: str, **how) -> httpx.Response:
        (response,) = self.send(("POST", path, how))
        return response

    def get(self, path: str, **how) -> httpx.Response:
        (response,) = self.send(("GET", path, how))
        return response


@contextmanager
def working(service: Service) -> Iterator[Inside]:
    app = create_app(service)
    service.worker.start()
    try:
        yield Inside(app, service)
    finally:
        service.worker.stop()


@contextmanager
def inside_of(folder, **options) -> Iterator[Inside]:
    with working(service_in_memory(folder, **options)[0]) as one:
        yield one


@pytest.fixture(scope="module")
def inside(tmp_path_factory) -> Iterator[Inside]:
    with inside_of(tmp_path_factory.mktemp("tasks")) as one:
        yield one


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[Running]:
    yield from serve_in_memory(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(scope="module")
def endless(tmp_path_factory) -> Iterator[Running]:
    """A slow server whose answers have no end but their length; two requests at a time."""
    for running in serve_in_memory(tmp_path_factory.mktemp("tasks"), most=2, ends=False):
        step = running.worker._engine.step

        def slow(step=step):
            time.sleep(0.005)
            return step()

        running.worker._engine.step = slow
        yield running


@pytest.fixture
def http(running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, timeout=30) as client:
        yield client
