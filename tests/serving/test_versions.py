"""Versions over HTTP: who answers, who may change it, and what survives a change."""

import contextlib
import gc
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import pytest

from laws.cases import CONFIGS, make_adapter
from pretune.adapters.adapter import Adapter
from pretune.adapters.files import save_adapter
from pretune.adapters.manifest import WEIGHTS
from pretune.api.serve import Store
from pretune.bases.fakes import tiny_base
from pretune.core.digest import SHORT
from pretune.core.errors import BusyError
from pretune.core.scope import Scope
from pretune.core.segments import Role, Turn
from pretune.engine.engine import Engine, Size
from pretune.monitoring.prometheus import Prometheus
from pretune.registry import Registry, Version, pins
from pretune.registry.collect import collect
from pretune.serving import shelf as shelves
from pretune.serving.admission import Admission
from pretune.serving.app import Service, create_app
from pretune.serving.catalogue import Catalogue, ServedTask
from pretune.serving.grammars import Grammars
from pretune.serving.keys import Keys, hashed
from pretune.serving.shelf import Shelf
from pretune.serving.worker import Worker
from pretune.spec.dump import task_value
from pretune.spec.limits import LimitsSpec
from registry.cases import evidence_of, filled
from serving.conftest import KEY, LABELS, Running, start, task
from serving.test_server import QUESTION, reference_text

ADMIN = "an-administrators-own-key"
ASKED = (Turn(Role.SYSTEM, "Be brief."), Turn(Role.USER, "Which rate?"))


@dataclass
class Desk:
    """A running server over a registry with three versions of task ``desk``; the first answers."""

    running: Running
    registry: Registry
    versions: list[Version]

    @property
    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.running.url, timeout=30)

    def admin(self, method: str, path: str = "", key: str | None = ADMIN, **body) -> httpx.Response:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        sent = {"json": body} if method == "POST" else {}
        with self.http as http:
            return http.request(method, f"/v1/tasks{path}", headers=headers, **sent)

    def ask(self, model: str = "desk", id_: str | None = None, **body) -> dict:
        headers = {"x-request-id": id_} if id_ else {}
        body = {"model": model, "messages": [QUESTION], **body}
        with self.http as http:
            response = http.post("/v1/chat/completions", json=body, headers=headers)
        assert response.status_code == 200, response.text
        return response.json()

    def text(self, *arguments, **options) -> str:
        return self.ask(*arguments, **options)["choices"][0]["message"]["content"]

    def expected(self, number: int) -> str:
        """What the reference says, asked with that version's adapter."""
        return reference_text(self.running, self.versions[number].adapter, *ASKED)

    def metrics(self) -> str:
        with self.http as http:
            return http.get("/metrics").text


def version_of(base, spec, adapter, **changes) -> Version:
    return Version(
        task=spec.name, spec=task_value(spec), adapter=adapter.digest, base=base.digest,
        run="runs/desk", created="2026-01-01T00:00:00+00:00", **changes,
    )  # fmt: skip


def desk_service(
    folder: Path, *, keys=(), admin=(ADMIN,), gate=None
) -> tuple[Service, dict[str, Adapter], object, Registry, list[Version]]:
    """With a ``gate`` answers have no end but their length, and wait while it is closed."""
    base = tiny_base(max_position_embeddings=1024)
    registry = Registry.create(folder / "registry")
    adapters, versions = {}, []
    for number in range(3):
        adapter = make_adapter(base, CONFIGS["lora"], Scope.PROMPT, seed=number)
        version = version_of(base, task("desk", folder), adapter)
        registry.add(version, save_adapter(adapter, folder / "made"))
        adapters[adapter.digest] = adapter
        versions.append(version)
    registry.promote("desk", versions[0].digest)
    served = [ServedTask("base")]
    shelf = Shelf(registry, base.digest, base.renderer, served)
    catalogue = Catalogue(base.renderer, base.anatomy.vocabulary, served)
    end_ids = () if gate else base.renderer.end_ids
    engine = Engine(base, end_ids, Store(registry=registry).load, Size(200, 4, 2, 64, 16))
    worker = Worker(engine, 32)
    service = Service(
        worker=worker,
        catalogue=shelf.arrange(shelf.read(), catalogue),
        renderer=base.renderer,
        grammars=Grammars(
            base.renderer.tokenizer_json, base.renderer.end_ids, base.anatomy.vocabulary
        ),
        keys=Keys(map(hashed, keys)),
        admission=Admission(LimitsSpec()),
        meter=Prometheus(),
        longest=800,
        shelf=shelf,
        admin=Keys(map(hashed, admin)),
    )
    if gate:
        step = engine.step

        def gated():
            assert gate.wait(60)
            return step()

        engine.step = gated
    return service, adapters, base, registry, versions


@contextlib.contextmanager
def serve_desk(folder: Path, *, gate=None, **options) -> Iterator[Desk]:
    """As :func:`desk_service`, over sockets."""
    service, adapters, base, registry, versions = desk_service(folder, gate=gate, **options)
    server, thread, url = start(create_app(service))
    try:
        yield Desk(Running(url, service, adapters, service.worker, base), registry, versions)
    finally:
        if gate:
            gate.set()
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(shelves, "POLL_SECONDS", 0.05)


@pytest.fixture
def desk(tmp_path) -> Iterator[Desk]:
    with serve_desk(tmp_path) as desk:
        yield desk


def eventually(holds, seconds=20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def test_a_body_that_is_refused_counts_for_the_version_it_names(desk):
    second = desk.versions[1].digest
    with desk.http as http:
        for model in (f"desk@{second[:10]}", "desk@none"):
            refused = http.post("/v1/chat/completions", json={"model": model, "temprature": 1})
            assert refused.status_code == 400
        text = http.get("/metrics").text
    counted = [line for line in text.splitlines() if line.startswith("pretune_requests_total{")]
    named = f'outcome="400",task="desk",version="{second[:SHORT]}"'
    assert counted == [f"pretune_requests_total{{{named}}} 1.0"]


def test_promoted_and_rolled_back_versions_answer(desk):
    texts = [desk.expected(number) for number in range(3)]
    assert len(set(texts)) == 3
    assert desk.text() == texts[0]
    second = desk.versions[1].digest
    done = desk.admin("POST", "/desk/promote", version=second[:12], why="better")
    assert done.status_code == 200, done.text
    assert (done.json()["current"], done.json()["served"]) == (second, True)
    assert done.json()["history"][-1]["why"] == "better"
    assert done.json()["history"][-1]["by"].startswith("admin key ")
    answer = desk.ask()
    assert answer["choices"][0]["message"]["content"] == texts[1]
    assert answer["system_fingerprint"] == second[:SHORT]
    with desk.http as http:
        assert http.get("/v1/models/desk").json()["version"] == second
    # A certain version, whatever is current.
    assert desk.text(f"desk@{desk.versions[2].digest[:10]}") == texts[2]
    assert desk.text(f"desk@{desk.versions[0].digest}") == texts[0]
    assert desk.admin("POST", "/desk/rollback", why="worse").json()["current"] != second
    assert desk.text() == texts[0]
    completion = {"model": "desk", "prompt": "Which rate?"}
    with desk.http as http:
        plain = http.post("/v1/completions", json=completion).json()
    assert plain["choices"][0]["text"] == texts[0]


@pytest.mark.parametrize("prefix", ["", "zz", "../registry", "0" * 64])
def test_versions_that_are_none(desk, prefix):
    with desk.http as http:
        body = {"model": f"desk@{prefix}", "messages": [QUESTION]}
        response = http.post("/v1/chat/completions", json=body)
    assert response.status_code == 404
    known = desk.versions[0].digest[:SHORT]
    assert known in response.json()["error"]["message"]


def test_another_process_promotes_and_the_server_follows(desk):
    desk.registry.promote("desk", desk.versions[2].digest)
    expected = desk.expected(2)
    eventually(lambda: desk.text() == expected)
    desk.registry.remove("desk")
    with desk.http as http:
        eventually(lambda: len(http.get("/v1/models").json()["data"]) == 1)


def test_a_canary_answers_its_share_and_retries_stay(desk):
    canary = desk.versions[1].digest[:SHORT]
    done = desk.admin("POST", "/desk/canary", version=canary, share=0.5)
    assert done.json()["canary"] == {"version": desk.versions[1].digest, "share": 0.5}
    texts = {canary: desk.expected(1), desk.versions[0].digest[:SHORT]: desk.expected(0)}
    seen = set()
    for number in range(12):
        first, again = (desk.ask(id_=f"request {number}") for _ in range(2))
        assert first["system_fingerprint"] == again["system_fingerprint"]
        assert first["choices"][0]["message"]["content"] == texts[first["system_fingerprint"]]
        seen.add(first["system_fingerprint"])
    assert seen == texts.keys()
    # Without an id, what is asked is the id: a retry is the same request.
    assert len({desk.ask()["system_fingerprint"] for _ in range(4)}) == 1
    counted = desk.metrics()
    for short in texts:
        assert f'pretune_requests_total{{outcome="ok",task="desk",version="{short}"}}' in counted
    assert desk.admin("POST", "/desk/canary", version=None).json()["canary"] is None
    assert {desk.ask(id_=str(n))["system_fingerprint"] for n in range(6)} != seen


@pytest.mark.parametrize(("number", "result"), [(1, "differs"), (3, "agrees")])
def test_a_shadow_is_asked_and_only_counted(tmp_path, number, result):
    with serve_desk(tmp_path) as desk:
        # The first version's adapter under a spec with a goal: another version, the same answers.
        first = desk.versions[0]
        twin = first.model_copy(update={"spec": {**first.spec, "goals": ["accuracy > 0"]}})
        twin = Version.model_validate(twin.model_dump())
        desk.registry.add(twin, desk.registry.adapter_folder(first))
        shadow = [*desk.versions, twin][number].digest
        assert desk.admin("POST", "/desk/shadow", version=shadow).json()["shadow"] == shadow
        expected = desk.expected(0)
        assert desk.text() == expected
        series = f'result="{result}",task="desk",version="{shadow[:SHORT]}"}} 1.0'
        eventually(lambda: series in desk.metrics())
        desk.ask(temperature=1.0)
        assert 'pretune_shadow_requests_total{result="skipped"' in desk.metrics()
        assert desk.ask(stream=False)["system_fingerprint"] == first.digest[:SHORT]
        assert desk.admin("POST", "/desk/shadow", version=None).json()["shadow"] is None


def test_a_shadow_that_nobody_foresaw_fails_for_the_count_and_tells_no_log_what_was_asked(
    desk, monkeypatch, caplog
):
    shadow = desk.versions[1].digest
    desk.admin("POST", "/desk/shadow", version=shadow)

    as_ever = Catalogue.asked

    def broken(self, task, body):
        if task.version == shadow:
            raise ValueError(f"what is {body.messages[0].text}?")
        return as_ever(self, task, body)

    monkeypatch.setattr(Catalogue, "asked", broken)
    assert desk.text() == desk.expected(0)
    series = f'result="failed",task="desk",version="{shadow[:SHORT]}"}} 1.0'
    eventually(lambda: series in desk.metrics())
    gc.collect()  # an error that nobody asked for is told of when its task goes
    assert QUESTION["content"] not in caplog.text
    assert "ValueError at test_versions.py:" in caplog.text


def test_a_request_keeps_its_version_through_promotion_and_collection(tmp_path):
    gate = threading.Event()
    gate.set()
    with serve_desk(tmp_path, gate=gate) as desk:
        first = desk.versions[0]
        body = {"model": "desk", "messages": [QUESTION], "max_tokens": 300, "stream": True}
        with desk.http as http, http.stream("POST", "/v1/chat/completions", json=body) as answer:
            lines = answer.iter_lines()
            assert first.digest[:SHORT] in next(lines)
            gate.clear()
            for version in desk.versions[1:]:
                desk.admin("POST", "/desk/promote", version=version.digest)
            gone = collect(Registry(desk.registry.files.root))
            assert gone.versions == ()  # nothing refers to the first version but this request
            gate.set()
            rest = [line for line in lines if line]
            assert rest[-1] == "data: [DONE]"
            assert first.digest[:SHORT] in rest[-2]
        eventually(lambda: collect(desk.registry).versions == (first.digest,))
        assert desk.ask(max_tokens=3)["system_fingerprint"] == desk.versions[2].digest[:SHORT]


def test_pins_are_written_by_whoever_holds_the_registrys_lock(tmp_path, monkeypatch):
    """A collection beside it would take the draft of a list for a leftover."""
    registry, made = filled(tmp_path)
    registry.promote("desk", made[0].digest)
    monkeypatch.setattr("pretune.registry.store.LOCK_SECONDS", 0.01)
    written = []

    def write(path, data, real=pins.write_atomic):
        with pytest.raises(BusyError), Registry(registry.files.root).locked():
            pass
        real(path, data)
        written.append(len(json.loads(data)))

    monkeypatch.setattr(pins, "write_atomic", write)
    shelf = Shelf(registry, "b" * 64, None)
    try:
        shelf._signature = shelf.read().signature
        assert not shelf._changed()
    finally:
        shelf.close()
    assert written == [3, 0]


def test_series_of_versions_that_are_gone_are_dropped(desk):
    first = desk.versions[0].digest[:SHORT]
    desk.ask()
    assert f'version="{first}"' in desk.metrics()
    for version in desk.versions[1:]:
        desk.admin("POST", "/desk/promote", version=version.digest)
        desk.ask()
    assert f'version="{first}"' not in desk.metrics()
    assert f'version="{desk.versions[2].digest[:SHORT]}"' in desk.metrics()


ROUTES = [
    ("GET", ""),
    ("POST", ""),
    ("GET", "/desk"),
    ("DELETE", "/desk"),
    ("POST", "/desk/promote"),
    ("POST", "/desk/rollback"),
    ("POST", "/desk/canary"),
    ("POST", "/desk/shadow"),
    ("GET", "/"),
    ("GET", "/no/such/route"),
    ("PUT", "/desk"),
    ("GET", "%0A"),
    ("POST", "%0A"),
    ("POST", "/%0A"),
    ("POST", "/desk/promote%0A"),
]


def test_without_keys_of_their_own_the_routes_are_closed(tmp_path):
    with serve_desk(tmp_path, keys=(KEY,), admin=()) as desk:
        for method, path in ROUTES:
            for key in (None, KEY, ADMIN):
                response = desk.admin(method, path, key=key)
                assert response.status_code == 403, (method, path, key)
                assert "--admin-keys" in response.json()["error"]["message"]
        assert desk.registry.task("desk").current == desk.versions[0].digest


def test_keys_of_those_who_ask_change_nothing_and_the_other_way_round(tmp_path):
    with serve_desk(tmp_path, keys=(KEY,)) as desk:
        for method, path in ROUTES:
            for key in (None, KEY, f"{ADMIN}x", ADMIN[:-1]):
                assert desk.admin(method, path, key=key).status_code == 401, (method, path, key)
        second = {"name": "desk", "version": desk.versions[1].digest}
        assert desk.admin("POST", "%0A", key=KEY, **second).status_code == 401
        assert len(desk.registry.task("desk").history) == 4
        with desk.http as http:
            headers = {"authorization": f"Bearer {ADMIN}"}
            assert http.get("/v1/models", headers=headers).status_code == 401
            for path in ("//v1/tasks", "/v1/./tasks", "/v1//tasks", "/v1/models/../tasks/desk"):
                headers = {"authorization": f"Bearer {KEY}"}
                assert '"current"' not in http.get(path, headers=headers).text, path


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/desk/promote", {"version": "zzzz"}, 404, 'unknown version "zzzz"; known: '),
        ("POST", "/desk/promote", {"version": ""}, 400, "at least 1 character"),
        ("POST", "/desk/promote", {"verzion": "a"}, 400, 'did you mean "version"?'),
        ("POST", "/desk/promote", {"version": "/etc/passwd"}, 404, "unknown version"),
        ("POST", "/counter/promote", {"version": "a"}, 404, 'unknown task "counter"; known: desk'),
        ("POST", "/..%2f..%2fdesk/promote", {"version": "a"}, 404, "there is no POST"),
        ("POST", "/%2e%2e/promote", {"version": "a"}, 404, ""),
        ("POST", "/desk/rollback", {"why": ""}, 400, "no version before the current one"),
        ("POST", "/desk/canary", {"version": "a", "share": 2.0}, 400, "less than 1"),
        ("POST", "/desk/shadow", {}, 400, "version: Field required"),
        ("POST", "", {"name": "../registry"}, 404, "unknown task"),
        ("POST", "", {"name": "desk", "folder": "/x"}, 400, 'unknown field "folder"'),
        ("DELETE", "/counter", {}, 404, "unknown task"),
        ("GET", "/counter", {}, 404, "unknown task"),
    ],
)
def test_what_cannot_be_done_is_refused(desk, method, path, body, status, words):
    before = desk.registry.task("desk")
    response = desk.admin(method, path, **body)
    assert response.status_code == status, response.text
    assert words in response.json()["error"]["message"]
    assert desk.registry.task("desk") == before


def test_goals_gate_promotion_here_too(desk, tmp_path):
    spec = task("desk", tmp_path, goals=["accuracy > 0.9"])
    adapter = next(iter(desk.running.adapters.values()))
    bad = version_of(desk.running.base, spec, adapter)
    desk.registry.add(bad, desk.registry.adapter_folder(desk.versions[0]))
    refused = desk.admin("POST", "/desk/promote", version=bad.digest)
    assert refused.status_code == 409
    assert 'was not gated, and task "desk" has goals' in refused.json()["error"]["message"]
    forced = desk.admin("POST", "/desk/promote", version=bad.digest, override="the demo is today")
    assert forced.json()["current"] == bad.digest
    assert forced.json()["history"][-1]["override"] == "the demo is today"
    assert desk.admin("POST", "/desk/rollback").status_code == 200
    desk.registry.gate("desk", bad.digest, evidence_of(bad, current=desk.versions[0].digest))
    passed = desk.admin("POST", "/desk/promote", version=bad.digest)
    assert passed.json()["history"][-1]["evidence"]


def test_a_task_is_unloaded_and_loaded(desk):
    assert desk.admin("DELETE", "/desk").json()["served"] is False
    with desk.http as http:
        body = {"model": "desk", "messages": [QUESTION]}
        assert http.post("/v1/chat/completions", json=body).status_code == 404
    listed = desk.admin("GET").json()["data"]
    assert [(one["task"], one["served"]) for one in listed] == [("desk", False)]
    # Unloaded, it is unloaded, whatever is promoted meanwhile.
    desk.admin("POST", "/desk/promote", version=desk.versions[1].digest)
    assert desk.admin("GET", "/desk").json()["served"] is False
    assert desk.admin("POST", name="desk").json()["served"] is True
    assert desk.text() == desk.expected(1)
    again = desk.admin("POST", name="desk", version=desk.versions[2].digest)
    assert again.json()["current"] == desk.versions[2].digest


def test_a_task_without_a_current_version_is_loaded_with_one(desk, tmp_path):
    base, adapter = desk.running.base, next(iter(desk.running.adapters.values()))
    folder = desk.registry.adapter_folder(desk.versions[0])
    template = {"system": "How?", "user": "{text}", "target": "{label}"}
    counter = version_of(base, task("counter", tmp_path, template=template, labels=LABELS), adapter)
    desk.registry.add(counter, folder)
    refused = desk.admin("POST", name="counter")
    assert "has no current version; name one to promote" in refused.json()["error"]["message"]
    assert desk.admin("POST", name="counter", version=counter.digest).json()["served"]
    assert desk.ask("counter")["choices"][0]["label"] in LABELS


def test_a_damaged_adapter_fails_its_own_version_and_is_mended_by_adding_it_again(desk, tmp_path):
    second = desk.versions[1]
    weights = desk.registry.adapter_folder(second) / WEIGHTS
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + b"x")
    model = f"desk@{second.digest[:SHORT]}"
    with desk.http as http:
        body = {"model": model, "messages": [QUESTION]}
        failed = http.post("/v1/chat/completions", json=body)
    assert failed.status_code == 500
    assert "does not match the manifest" in failed.json()["error"]["message"]
    assert desk.text() == desk.expected(0)
    desk.registry.add(second, tmp_path / "made" / second.adapter[:SHORT])
    assert desk.text(model) == desk.expected(1)


def test_what_is_damaged_or_of_another_base_leaves_the_others_served(desk, tmp_path):
    base, adapter = desk.running.base, next(iter(desk.running.adapters.values()))
    folder = desk.registry.adapter_folder(desk.versions[0])
    foreign = version_of(base, task("foreign", tmp_path), adapter)
    foreign = foreign.model_copy(update={"base": "f" * 64})
    desk.registry.add(foreign, folder)
    desk.registry.promote("foreign", foreign.digest)
    (desk.registry.files.tasks / "broken.json").write_text("{")

    def problems():
        listed = desk.admin("GET").json()["data"]
        return {one["task"]: one["problem"] for one in listed if "problem" in one}

    eventually(lambda: len(problems()) >= 2)
    found = problems()
    assert "is damaged" in found["broken"]
    assert 'is of base "ffffffffffff"' in found["foreign"]
    assert desk.text() == desk.expected(0)
    for name in ("foreign", "broken"):
        with desk.http as http:
            body = {"model": name, "messages": [QUESTION]}
            refused = http.post("/v1/chat/completions", json=body)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 1, "its operator needs more than a moment"
        assert "its operator finds the reason under GET /v1/tasks" in refused.text
    # A state that breaks under a running server leaves what was served.
    desk.registry.files.task_file("desk").write_text("{")
    eventually(lambda: "desk" in problems())
    assert desk.text() == desk.expected(0)


def test_the_registry_is_read_and_changed_by_one_thread(tmp_path, monkeypatch):
    """A pool would grow by as many as happen to work at once, and look like a leak."""
    monkeypatch.setattr(shelves, "POLL_SECONDS", 0.01)
    with serve_desk(tmp_path) as desk:
        seen, signature, promote = set(), desk.registry.signature, desk.registry.promote

        def slow(call):
            def slowly(*arguments, **options):
                seen.add(threading.get_ident())
                time.sleep(0.05)
                return call(*arguments, **options)

            return slowly

        monkeypatch.setattr(desk.registry, "signature", slow(signature))
        monkeypatch.setattr(desk.registry, "promote", slow(promote))
        asks = [
            threading.Thread(
                target=desk.admin, args=("POST", "/desk/promote"), kwargs={"version": one.digest}
            )
            for one in desk.versions * 2
        ]
        for ask in asks:
            ask.start()
        for ask in asks:
            ask.join()
    assert len(seen) == 1
