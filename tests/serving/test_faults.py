"""What goes wrong for one client or in one place stays there."""

import asyncio
import json
import threading
import time
from dataclasses import replace

import pytest
import torch

from pretune.adapters.files import save_adapter
from pretune.api.serve import Store
from pretune.serving import wire
from serving.conftest import Inside, inside_of, service_in_memory, working
from serving.test_server import QUESTION

CHAT = "/v1/chat/completions"


def chat(inside: Inside, model="free", **body):
    return inside.post(CHAT, json={"model": model, "messages": [QUESTION], **body})


async def stream_to(inside: Inside, send, *, whole=True, leaves=None, **body) -> None:
    """A streamed chat; its client reads as ``send`` does, and its body comes ``whole`` or never.
    The client ``leaves`` when that is set."""
    sent = {"model": "base", "messages": [QUESTION], "stream": True, **body}
    content = json.dumps(sent).encode()
    messages = [{"type": "http.request", "body": content, "more_body": not whole}]

    async def receive():
        if messages:
            return messages.pop()
        await (leaves or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
        "method": "POST", "path": CHAT, "raw_path": CHAT.encode(), "root_path": "",
        "scheme": "http", "query_string": b"", "headers": [], "server": ("inside", 80),
        "client": ("a", 1),
    }  # fmt: skip
    await inside.app(scope, receive, send)


def test_a_client_that_stops_reading_keeps_nobody_waiting_and_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(wire, "PATIENCE", 0.5)
    with inside_of(tmp_path, limits={"each_key": {"under_way": 2}}) as inside:
        heard = []

        async def deaf(message) -> None:
            heard.append(message)
            if len(heard) > 2:
                await asyncio.sleep(3600)

        async def quick(message) -> None:
            pass

        async def both() -> None:
            slow = asyncio.create_task(stream_to(inside, deaf, max_tokens=300))
            while len(heard) < 3:
                await asyncio.sleep(0.01)
            await stream_to(inside, quick, max_tokens=5)
            assert not slow.done(), "the other one was kept waiting"
            await asyncio.wait_for(slow, 30)
            await asyncio.sleep(0.1)

        asyncio.run(both())
        assert len(heard) == 3
        assert inside.service.worker.load == 0
        assert inside.service.admission._keys[""]._under_way == 0
        assert chat(inside, n=2, max_tokens=1).status_code == 200


def test_a_client_that_leaves_before_its_body_is_whole_is_no_fault(inside, caplog):
    """It would be an error in the operator's log for each."""

    async def hear(message) -> None:
        pass

    async def leave() -> None:
        leaves = asyncio.Event()
        leaves.set()
        await stream_to(inside, hear, whole=False, leaves=leaves)

    asyncio.run(leave())
    assert not [one for one in caplog.records if one.name == "pretune.serving"]


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_before_its_answer_begins_keeps_no_place(tmp_path, stream):
    """While the engine is at a long step, say, or the request waits for its turn."""
    with inside_of(tmp_path, limits={"each_key": {"under_way": 1}}) as inside:
        engine, go_on = inside.service.worker._engine, threading.Event()
        step = engine.step

        def held():
            assert go_on.wait(60)
            return step()

        engine.step = held

        async def hear(message) -> None:
            pass

        async def leave() -> None:
            leaves = asyncio.Event()
            asking = asyncio.create_task(stream_to(inside, hear, leaves=leaves, stream=stream))
            while not inside.service.worker.load:
                await asyncio.sleep(0.01)
            leaves.set()
            await asyncio.wait_for(asking, 20)

        try:
            asyncio.run(leave())
            assert inside.service.worker.load == 0
            assert inside.service.admission._keys[""]._under_way == 0
        finally:
            go_on.set()
        assert chat(inside, max_tokens=1).status_code == 200


def test_a_body_that_never_ends_is_given_up(inside, monkeypatch):
    monkeypatch.setattr(wire, "PATIENCE", 0.1)
    heard = []

    async def hear(message) -> None:
        heard.append(message)

    asyncio.run(stream_to(inside, hear, whole=False))
    assert heard[0]["status"] == 408
    assert b"did not come within 0.1 seconds" in heard[1]["body"]


def test_more_is_asked_than_the_cache_holds(tmp_path):
    """Sixteen answers at once in a cache with room for two or three: each is what it is alone."""
    with inside_of(tmp_path, blocks=40) as inside:
        alone = [
            chat(inside, "base", max_tokens=30, seed=i, temperature=1.0).json()["choices"][0]
            for i in range(8)
        ]
        asked = [
            ("POST", CHAT, {"json": {"model": "base", "messages": [QUESTION], "max_tokens": 30,
                                     "temperature": 1.0, "seed": i % 8}})
            for i in range(16)
        ]  # fmt: skip
        together = [response.json()["choices"][0] for response in inside.send(*asked)]
        assert together == [*alone, *alone]
        stats = inside.service.worker.stats()
        assert stats.preemptions > 0, "there was room enough"
        assert stats.blocks_held == 0
        impossible = chat(inside, "base", max_tokens=150)
        assert impossible.status_code == 400
        assert "room for 160" in impossible.json()["error"]["message"]


def test_a_poisoned_adapter_fails_its_own_requests(tmp_path):
    service, adapters, _ = service_in_memory(tmp_path)
    whole = adapters["free"]
    sick = {name: torch.full_like(value, torch.nan) for name, value in whole.weights.items()}
    adapters["free"] = replace(whole, weights=sick)
    with working(service) as inside:
        asked = [
            ("POST", CHAT, {"json": {"model": model, "messages": [QUESTION]}})
            for model in ("free", "base", "labels", "free", "base")
        ]
        found = inside.send(*asked)
        assert [one.status_code for one in found] == [500, 200, 200, 500, 200]
        assert "not finite" in found[0].json()["error"]["message"]
        again = chat(inside, "base")
        assert again.json()["choices"] == found[1].json()["choices"]


TURNS = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{{ m.content }}<|end|>{% endfor %}"
)
"""As Mistral's and Gemma's."""


def test_turns_that_the_template_refuses_are_the_clients_to_mend(tmp_path, caplog):
    service, _, base = service_in_memory(tmp_path)
    base.renderer._template = TURNS
    with working(service) as inside:
        body = {"model": "base", "messages": [{"role": "assistant", "content": "4%"}, QUESTION]}
        refused = inside.post(CHAT, json=body)
        assert refused.status_code == 400, refused.text
        assert refused.json()["error"]["param"] == "messages"
        assert "roles must alternate" in refused.json()["error"]["message"]
        assert chat(inside, "base", max_tokens=1).status_code == 200
    assert not [one for one in caplog.records if one.name == "pretune.serving"]


def test_wall_clocks_may_jump(inside, monkeypatch):
    """Deadlines and durations go by a monotonic clock; the time of day is only shown."""
    jumps = iter(range(10**9, 10**12, 10**9))
    monkeypatch.setattr(time, "time", lambda: float(next(jumps) * (-1) ** next(jumps)))
    response = chat(inside, timeout=20.0, max_tokens=8)
    assert response.status_code == 200
    sums = [line for line in inside.get("/metrics").text.splitlines() if "seconds_sum" in line]
    assert sums
    assert all(0 <= float(line.split()[-1]) < 1000 for line in sums)


@pytest.mark.parametrize("name", ["adapter.safetensors", "manifest.json"])
def test_an_adapter_damaged_on_disk_fails_its_task_until_it_is_whole_again(tmp_path, name):
    """Read when it is wanted, checked against its digest, asked for anew each time."""
    service, adapters, _ = service_in_memory(tmp_path, slots=1)
    folder = save_adapter(adapters["free"], tmp_path)
    digest = adapters["free"].digest
    store = Store({digest: folder})
    kept = dict(adapters)

    def load(asked):
        return store.load(digest) if asked == "free" else kept[asked]

    service.worker._engine._slots._load = load
    whole = (folder / name).read_bytes()
    with working(service) as inside:
        expected = chat(inside).json()["choices"]
        fields = {"text": "a", "question": "b"}
        assert inside.post(CHAT, json={"model": "document", "fields": fields}).status_code == 200
        for damaged in (whole[: len(whole) // 2], b"", bytes(len(whole))):
            (folder / name).write_bytes(damaged)
            failed = chat(inside)
            assert failed.status_code == 500
            assert "damaged" in failed.json()["error"]["message"]
            assert chat(inside, "labels").status_code == 200
        (folder / name).write_bytes(whole)
        assert chat(inside).json()["choices"] == expected
        (folder / name).unlink()
        assert chat(inside).json()["choices"] == expected, "it is still in its slot"
