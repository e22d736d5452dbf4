"""Long prompts are read beside the event loop, and only for those who may ask."""

import asyncio
import threading
from types import SimpleNamespace

import httpx2 as httpx
import pytest

from pretune.serving import reading
from pretune.serving.answers import Answer, Terms
from pretune.serving.bodies import CompletionBody, read
from pretune.serving.catalogue import Catalogue, ServedTask
from pretune.serving.shadow import Shadows
from serving.conftest import inside_of, service_in_memory, working

LONG = {"model": "base", "prompt": "a" * reading.LONG, "max_tokens": 1}
NESTED = {"model": "free", "fields": {"text": {"a" * reading.LONG: []}}, "max_tokens": 1}
SHORT = {"model": "base", "prompt": "a" * (reading.LONG // 8), "max_tokens": 1}


def slowed(monkeypatch) -> tuple[threading.Event, list[str]]:
    """Long prompts take until the event is set; models of all that was read."""
    go, read = threading.Event(), []
    as_ever = Catalogue.asked

    def asked(self, task, body):
        read.append(task.name)
        if body.size >= reading.LONG:
            assert go.wait(20), "nobody came while the prompt was read"
        return as_ever(self, task, body)

    monkeypatch.setattr(Catalogue, "asked", asked)
    return go, read


def test_while_long_prompts_are_read_others_are_answered_and_the_line_has_an_end(
    tmp_path, monkeypatch
):
    go, _ = slowed(monkeypatch)

    async def use(app) -> None:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://inside") as client:
            line = [
                asyncio.create_task(client.post("/v1/completions", json=LONG)) for _ in range(4)
            ]
            answered = await client.post("/v1/completions", json=SHORT)
            refused = await client.post("/v1/completions", json=LONG)
            other = asyncio.create_task(client.post("/v1/chat/completions", json=NESTED))
            await asyncio.wait({other}, timeout=0.05)  # the line of its own task is empty
            waits = not other.done()
            go.set()
            # They are longer than what this base reads: refused, but by their own length.
            said = [(await one).json()["error"] for one in line]
            read = await other
        assert waits, read.text
        assert read.status_code == 400
        assert answered.status_code == 200
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert {one["param"] for one in said} == {"max_tokens"}

    with inside_of(tmp_path, most=4) as inside:
        asyncio.run(use(inside.app))


def test_nothing_in_a_body_hides_how_long_it_is(tmp_path, monkeypatch):
    threads = []
    as_ever = Catalogue.asked

    def asked(self, task, body):
        threads.append(threading.current_thread().name)
        return as_ever(self, task, body)

    monkeypatch.setattr(Catalogue, "asked", asked)
    with inside_of(tmp_path) as inside:
        inside.post("/v1/chat/completions", json=NESTED)
        inside.post("/v1/completions", json=LONG)
        inside.post("/v1/completions", json=SHORT)
    assert [name.startswith("pretune-aside") for name in threads] == [True, True, False]


def test_a_server_that_ends_reads_no_prompt(tmp_path, monkeypatch):
    _, read = slowed(monkeypatch)
    with inside_of(tmp_path) as inside:
        inside.service.worker.drain()
        assert inside.post("/v1/completions", json=LONG).status_code == 503
    assert read == []


def test_a_prompt_comes_out_alike_beside_the_loop_and_on_it(tmp_path, monkeypatch):
    service, *_ = service_in_memory(tmp_path, blocks=400)
    with working(service) as inside:
        here = inside.post("/v1/completions", json=SHORT).json()
        monkeypatch.setattr(reading, "LONG", 1)
        beside = inside.post("/v1/completions", json=SHORT).json()
    assert here["choices"] == beside["choices"]
    assert here["usage"] == beside["usage"]


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_what_a_limit_refuses_is_not_read(tmp_path, monkeypatch, path):
    _, read = slowed(monkeypatch)
    message = [{"role": "user", "content": "a"}]
    asked = {"prompt": "a"} if path == "/v1/completions" else {"messages": message}
    limits = {"each_task": {"per_second": 0.001, "burst": 1}}
    with inside_of(tmp_path, limits=limits) as inside:
        first, second = (
            inside.post(path, json={"model": "base", "max_tokens": 1, **asked}) for _ in range(2)
        )
    assert (first.status_code, second.status_code) == (200, 429)
    assert read == ["base"]


def test_no_shadow_stands_in_line_before_a_client():
    told = []
    meter = SimpleNamespace(shadowed=lambda *what: told.append(what))
    shadow = ServedTask("free", version="a" * 64)
    catalogue = SimpleNamespace(shadow_of=lambda _task: shadow)
    shadows = Shadows(None, SimpleNamespace(busy=True), meter)

    async def items():
        yield Answer(0)

    async def use():
        body = read(CompletionBody, {"model": "free", "prompt": "a"})
        own = shadows.follow(items(), catalogue, ServedTask("free"), body, Terms("", 1.0))
        return [item async for item in own]

    assert len(asyncio.run(use())) == 1
    assert told == [("free", shadow.short, "skipped")]
