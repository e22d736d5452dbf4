"""``pretune serve``: from a run's folder to answers over HTTP, and to a good end on SIGTERM."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import httpx2 as httpx
import pytest
from fastapi import FastAPI

from pretune.api.serve import ServeOptions, Server, build, check_address, find_tasks
from pretune.core.errors import DataError, MissingExtra, SpecError, StorageError
from pretune.serving.key_file import new_key, read_keys


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_run_is_served_until_sigterm(run, task):
    assert run("train", "desk.yaml", "--out", "runs/desk").code == 0
    generated = run(
        "generate", "desk.yaml", "--adapter", "runs/desk", "--row", '{"text": "pin lost"}', "--json"
    )
    assert generated.code == 0
    port = free_port()
    command = [sys.executable, "-m", "pretune", "serve", "runs", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
                wait_for(http, process)
                names = [one["id"] for one in http.get("/v1/models").json()["data"]]
                assert names == [names[0], "desk"]
                question = [{"role": "user", "content": "pin lost"}]
                body = {"model": "desk", "messages": question}
                found = http.post("/v1/chat/completions", json=body).json()["choices"][0]
                assert found["message"]["content"] in ("card", "loan")
                assert found["scores"].keys() == {"card", "loan"}
                end_in_a_stream(http, process, {"model": names[0], "messages": question})
        finally:
            process.send_signal(signal.SIGTERM)
            told = process.stderr.read() if process.stderr else ""
            assert process.wait(30) in (0, -signal.SIGTERM)
    assert f"serving desk at http://127.0.0.1:{port}/v1" in told
    assert "pin lost" not in told


LONG = {"structured_outputs": {"regex": "[a-z]{301}"}, "max_tokens": 300}
"""A letter a token, and no end before the last one."""


def end_in_a_stream(http: httpx.Client, process: subprocess.Popen, body: dict) -> None:
    """SIGTERM with a stream under way: it ends as it would have, and nothing new begins."""
    body |= LONG
    whole = http.post("/v1/chat/completions", json=body).json()["choices"][0]
    assert len(whole["message"]["content"]) == 300
    for _ in range(20):
        with begun(http.base_url.port, body | {"stream": True}) as stream:
            # Held, so that the signal comes before the stream's end however slow this process is.
            process.send_signal(signal.SIGSTOP)
            if b"[DONE]" in stream.recv(2**20, socket.MSG_PEEK):
                process.send_signal(signal.SIGCONT)
                continue
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)
            wait_refused(f"{http.base_url}/v1/chat/completions", body | {"max_tokens": 1})
            with stream.makefile(encoding="utf-8") as lines:
                told = [line.strip() for line in lines if line.startswith("data: ")]
            break
    else:
        raise AssertionError("every stream was over before the server could be told to end")
    assert told.pop() == "data: [DONE]"
    pieces = [json.loads(line.removeprefix("data: "))["choices"][0] for line in told]
    said = "".join(piece["delta"].get("content", "") for piece in pieces)
    assert said == whole["message"]["content"]
    assert pieces[-1]["finish_reason"] == whole["finish_reason"] == "length"


def begun(port: int | None, body: dict) -> socket.socket:
    """A connection on which the answer to ``body`` has begun; nothing of it is read yet."""
    data = json.dumps(body)
    stream = socket.create_connection(("127.0.0.1", port), timeout=30)
    stream.sendall(
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(data)}\r\n"
        f"Content-Type: application/json\r\nConnection: close\r\n\r\n{data}".encode()
    )
    stream.recv(1, socket.MSG_PEEK)
    return stream


def wait_refused(url: str, body: dict) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            if httpx.post(url, json=body).status_code == 503:
                return
        except httpx.TransportError:  # no connection, or one that is closed before it is read
            return
    raise AssertionError("the server took new requests after SIGTERM")


def wait_for(http: httpx.Client, process: subprocess.Popen) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, "the server ended by itself"
        try:
            if http.get("/ready").status_code == 200:
                return
        except httpx.ConnectError:
            time.sleep(0.1)
    raise AssertionError("the server did not start")


def test_without_the_extra_the_message_holds_the_command():
    code = (
        "import sys; sys.modules['fastapi'] = None; sys.argv = ['pretune', 'serve', 'runs']\n"
        "from pretune.cli.app import main\nmain()"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert ran.returncode == MissingExtra.exit_code
    assert "pip install 'pretune[serve]'" in " ".join(ran.stderr.split())


def test_nothing_to_serve_says_what_to_do(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "name a folder" in run("serve").err
    empty = tmp_path / "empty"
    empty.mkdir()
    ran = run("serve", empty)
    assert ran.code == DataError.exit_code
    assert "no finished run" in ran.err
    assert "is no folder" in run("serve", tmp_path / "missing").err


def test_two_runs_of_one_task_are_refused(run, task, tmp_path):
    for place in ("one", "two"):
        assert run("train", "desk.yaml", "--out", f"runs/{place}").code == 0
    with pytest.raises(DataError, match='two runs are of task "desk"'):
        find_tasks([tmp_path / "runs"])
    (found,) = find_tasks([tmp_path / "runs" / "one"])
    assert found.spec.name == "desk"


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_it_is_told_where_it_listens(host, shown):
    """With port 0 at whatever port is free."""
    app = FastAPI()
    app.state.service = SimpleNamespace(worker=SimpleNamespace(drain=lambda: None))
    told = []

    def listening(url: str) -> None:
        told.append(url)
        server.should_exit = True

    server = Server(app, ServeOptions(host=host, port=0), listening)
    try:
        server.run()
    except SystemExit:
        pytest.skip(f"this machine has no {host}")
    (url,) = told
    address, _, port = url.rpartition(":")
    assert address == f"http://{shown}"
    assert int(port) > 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "example.org"])
def test_strangers_need_keys(host, tmp_path):
    with pytest.raises(SpecError, match="no keys are set"):
        check_address(ServeOptions(host=host))
    check_address(ServeOptions(host=host, keys=tmp_path / "keys"))
    for local in ("127.0.0.1", "127.0.0.9", "::1", "localhost"):
        check_address(ServeOptions(host=local))


def test_tasks_of_two_bases_are_refused(run, task, tmp_path):
    assert run("train", "desk.yaml", "--out", "runs/desk").code == 0
    (found,) = find_tasks([tmp_path / "runs"])
    other = found.spec.base.model_copy(update={"name": "embedded"})
    spec = found.spec.model_copy(update={"name": "other", "base": other})
    with pytest.raises(SpecError, match="of several bases"):
        build([found, replace(found, spec=spec)], ServeOptions())


def test_an_adapter_that_lost_its_slot_is_in_memory(run, task, tmp_path):
    assert run("train", "desk.yaml", "--out", "runs/desk").code == 0
    (found,) = find_tasks([tmp_path / "runs"])
    engine = build([found], ServeOptions()).state.service.worker._engine
    load = engine._slots._load
    first = load(found.digest)
    for file in found.folder.iterdir():
        file.unlink()
    assert load(found.digest) is first
    engine.close()


def test_keys_are_kept_as_hashes(tmp_path):
    path = tmp_path / "keys"
    first, second = new_key(path), new_key(path)
    assert first not in path.read_text()
    keys = read_keys(path)
    assert keys.holder(f"Bearer {first}")
    assert keys.holder(f"bearer {second}")
    assert keys.holder(f"Bearer {first}x") is None
    assert keys.holder(None) is None


def test_a_key_is_added_to_a_file_whose_last_line_has_no_end(tmp_path):
    path = tmp_path / "keys"
    first = new_key(path)
    path.write_text(path.read_text().strip())  # as some editors leave it
    second = new_key(path)
    keys = read_keys(path)
    assert keys.holder(f"Bearer {first}")
    assert keys.holder(f"Bearer {second}")


def test_of_keys_that_are_made_at_once_none_is_lost(tmp_path):
    path = tmp_path / "new" / "keys"
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: new_key(path), range(40)))
    keys = read_keys(path)
    assert all(keys.holder(f"Bearer {key}") for key in made)
    if os.name != "nt":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_full_disk_leaves_a_key_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "keys"
    first = new_key(path)
    before = path.read_bytes()
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:20]))
    with pytest.raises(StorageError, match="No space left"):
        new_key(path)
    assert path.read_bytes() == before
    assert read_keys(path).holder(f"Bearer {first}")


@pytest.mark.parametrize("content", [b"runs: 3\n", b"\xff\xfe", None])
def test_a_key_is_not_added_to_what_is_no_key_file(tmp_path, content):
    path = tmp_path / "keys"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(SpecError):
        new_key(path)
    assert content is None or path.read_bytes() == content


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot read keys"), ("", "holds no key"), ("my-plain-key\n", "no hash of a key")],
)
def test_bad_key_files(tmp_path, content, words):
    path = tmp_path / "keys"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SpecError, match=words):
        read_keys(path)
