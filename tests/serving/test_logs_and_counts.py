"""What an operator reads: where it went wrong, never what was asked; and counts by task."""

import json
import logging
import subprocess
import threading
import time

import httpx2 as httpx
import pytest

from pretune.serving.catalogue import Catalogue
from pretune.serving.grammars import Grammars
from serving.conftest import KEY, inside_of, serve_in_memory
from serving.test_server import QUESTION, events, until_idle

CHAT = "/v1/chat/completions"
SECRET = "my card number is 4711"


def chat(inside, model="free", text=SECRET, **body):
    messages = [{"role": "user", "content": text}]
    return inside.post(CHAT, json={"model": model, "messages": messages, **body})


def test_a_fault_that_nobody_foresaw_is_logged_without_its_words(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    with inside_of(tmp_path) as inside:
        with monkeypatch.context() as patch:

            def broken(_self, _task, body):
                raise ValueError(f"what is {body.messages[0].text}?")

            patch.setattr(Catalogue, "chat", broken)
            failed = chat(inside)
        assert failed.status_code == 500
        assert failed.json()["error"]["type"] == "server_error"
        assert SECRET not in failed.text
        assert chat(inside).status_code == 200
    told = [one for one in caplog.records if one.name == "pretune.serving"]
    assert len(told) == 1
    assert told[0].getMessage().startswith("ValueError at test_logs_and_counts.py:")
    assert "app.py:" in told[0].getMessage()
    assert SECRET not in caplog.text


def test_a_fault_that_nobody_foresaw_counts_as_one(tmp_path, monkeypatch):
    """Not as a client that left."""
    with inside_of(tmp_path) as inside:

        async def broken(_self, _wanted, _salt):
            raise RuntimeError("no process could be started")

        monkeypatch.setattr(Grammars, "constraint", broken)
        assert chat(inside, structured_outputs={"regex": "a"}).status_code == 500
        text = inside.get("/metrics").text
    assert 'pretune_requests_total{outcome="500",task="free",version=""} 1.0' in text
    assert 'outcome="cancelled"' not in text


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"stream": True, "logprobs": True, "n": 2},
        {"stop": [SECRET]},
        {"model": SECRET},
        {SECRET: 1},
        {"max_tokens": 10**6},
        {"timeout": 1e-6},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": SECRET}}}},
        {"structured_outputs": {"regex": f"({SECRET}"}},
        {"messages": [{"role": SECRET, "content": SECRET}]},
    ],
    ids=lambda body: json.dumps(body)[:40],
)
def test_nothing_that_is_asked_reaches_a_log(inside, caplog, capfd, body):
    caplog.set_level(logging.DEBUG, "pretune")
    caplog.set_level(logging.DEBUG, "uvicorn")
    asked = {"model": "free", "messages": [{"role": "user", "content": SECRET}], **body}
    inside.post(CHAT, json=asked)
    assert SECRET not in caplog.text
    assert SECRET not in "".join(capfd.readouterr())


def test_counts_of_the_queue_the_cache_and_loads_are_by_task(tmp_path):
    with inside_of(tmp_path, slots=1) as inside:
        for model in ("free", "free", "labels", "free", "base"):
            assert chat(inside, model).status_code == 200
        chat(inside, "base", stream=True, n=2, max_tokens=3)
        text = inside.get("/metrics").text
    found = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))

    def value(name: str, task: str, more: str = "") -> float:
        return float(found[f'{name}{{{more}task="{task}",version=""}}'])

    counts = {task: value("pretune_queue_seconds_count", task) for task in ("free", "labels")}
    assert counts == {"free": 3, "labels": 1}
    assert value("pretune_queue_seconds_count", "base") == 3, "one for each answer"
    assert 0 <= value("pretune_queue_seconds_sum", "free") < 60
    # One slot: "labels" takes it from "free", which then has to come again.
    assert value("pretune_adapter_waits_total", "free") == 2
    assert value("pretune_adapter_waits_total", "labels") == 1
    assert value("pretune_adapter_waits_total", "base") == 0
    reused = {t: value("pretune_tokens_total", t, 'kind="reused",') for t in ("free", "labels")}
    assert reused["free"] > 0, "it was asked the same again"
    assert reused["labels"] == 0, "another adapter wrote what it has in common"


def test_the_tokens_of_a_refused_prompt_are_not_counted_as_read(tmp_path):
    with inside_of(tmp_path) as inside:
        assert chat(inside, max_tokens=10**6).status_code == 400
        refused = inside.get("/metrics").text
        answered = chat(inside).json()["usage"]["prompt_tokens"]
        text = inside.get("/metrics").text
    series = 'pretune_tokens_total{kind="prompt",task="free",version=""}'
    assert f"{series} 0.0" in refused
    assert f"{series} {answered}.0" in text


def test_a_prompt_that_the_template_refuses_counts_as_a_refused_request(tmp_path):
    with inside_of(tmp_path) as inside:
        refused = inside.post("/v1/chat/completions", json={"model": "free", "fields": {"x": 1}})
        text = inside.get("/metrics").text
    assert refused.status_code == 400
    assert 'pretune_requests_total{outcome="400",task="free",version=""} 1.0' in text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {"messages": [QUESTION], "temprature": 1}),
        (CHAT, {"messages": [QUESTION], "n": "two"}),
        ("/v1/completions", {"prompt": "x", "max_tokens": 0}),
    ],
)
def test_a_body_that_is_refused_counts_for_the_task_it_names(inside, path, body):
    series, outcome = "pretune_requests_total", 'outcome="400",'
    before = count(inside, series, "labels", outcome)
    assert inside.post(path, json={"model": "labels", **body}).status_code == 400
    assert count(inside, series, "labels", outcome) == before + 1


@pytest.mark.parametrize("model", ["no-such-model", "no-such-model@1", "x" * 10**6, 7, None, ["a"]])
def test_a_body_that_is_refused_and_names_no_task_leaves_no_count(inside, model):
    before = len(inside.get("/metrics").text.splitlines())
    for body in ({"model": model, "temprature": 1}, [model], model):
        assert inside.post(CHAT, json=body).status_code == 400
    assert len(inside.get("/metrics").text.splitlines()) == before


def test_what_an_answer_had_when_its_time_was_over_is_counted(endless):
    body = {"model": "base", "messages": [{"role": "user", "content": "Go on."}]}
    with httpx.Client(base_url=endless.url, timeout=30) as http:
        streamed = http.post(
            "/v1/chat/completions", json={**body, "max_tokens": 700, "stream": True, "timeout": 0.5}
        )
        text = http.get("/metrics").text
    assert "not done after 0.5 seconds" in streamed.text
    series = 'pretune_tokens_total{kind="new",task="base",version=""} '
    counted = float(text.partition(series)[2].partition("\n")[0])
    assert counted >= streamed.text.count('"finish_reason": null') > 0


def count(http, series: str, task: str, more: str = "") -> float:
    """The value of a series, 0 where there is none yet."""
    found = http.get("/metrics").text.partition(f'{series}{{{more}task="{task}",version=""}} ')[2]
    return float(found.partition("\n")[0] or 0)


@pytest.mark.parametrize("stream", [False, True])
def test_the_time_from_each_token_to_the_next_is_an_answers_own(inside, stream):
    """Answers of one request are written side by side, not one after another."""
    series = "pretune_inter_token_seconds_count"
    tokens = count(inside, "pretune_tokens_total", "base", 'kind="new",')
    before = count(inside, series, "base")
    assert chat(inside, "base", n=3, max_tokens=9, stream=stream).status_code == 200
    tokens = count(inside, "pretune_tokens_total", "base", 'kind="new",') - tokens
    assert tokens > 3
    assert count(inside, series, "base") - before == tokens - 3


def test_one_stall_in_a_long_answer_is_seen(endless, monkeypatch):
    until_idle(endless)
    engine, told, go = endless.worker._engine, [], threading.Event()
    step = engine.step

    def stalling():
        if len(told) == 3:
            assert go.wait(20)
        outputs = step()
        told.extend(outputs)
        return outputs

    monkeypatch.setattr(engine, "step", stalling)
    body = {"model": "free", "messages": [QUESTION], "max_tokens": 40, "stream": True}
    series = "pretune_inter_token_seconds"
    with httpx.Client(base_url=endless.url, timeout=30) as http:
        with http.stream("POST", CHAT, json=body) as response:
            lines = (line for line in response.iter_lines() if line)
            for _ in range(3):
                next(lines)
            time.sleep(0.3)
            go.set()
            assert list(lines)[-1] == "data: [DONE]"
        assert count(http, f"{series}_count", "free") == 39
        assert count(http, f"{series}_bucket", "free", 'le="0.25",') < 39
        assert count(http, f"{series}_sum", "free") >= 0.3


def curl(url: str, *arguments: str) -> str:
    command = ["curl", "--silent", "--show-error", "--no-buffer", "--max-time", "30", *arguments]
    return subprocess.run([*command, url], check=True, capture_output=True, text=True).stdout


def test_plain_curl_as_the_pages_show_it(tmp_path):
    body = json.dumps({"model": "free", "messages": [QUESTION]})
    sent = ["-H", f"Authorization: Bearer {KEY}", "-H", "Content-Type: application/json"]
    for running in serve_in_memory(tmp_path, keys=(KEY,)):
        url = f"{running.url}{CHAT}"
        assert json.loads(curl(url, "-d", body))["error"]["code"] == 401
        assert "ok" in curl(f"{running.url}/health")
        whole = json.loads(curl(url, *sent, "-d", body))
        streamed = curl(url, *sent, "-d", json.dumps({**json.loads(body), "stream": True}))
        *pieces, last = events(streamed)
        said = [json.loads(one)["choices"][0]["delta"].get("content", "") for one in pieces]
        assert last == "[DONE]"
        assert "".join(said) == whole["choices"][0]["message"]["content"]
        models = json.loads(curl(f"{running.url}/v1/models", *sent))["data"]
        assert [one["id"] for one in models] == ["base", "free", "labels", "document"]
