"""A server for a while: it answers what is asked at once, and is gone when the block ends."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from pretune.api import served
from pretune.api.served import serving
from pretune.core.errors import PretuneError


def test_questions_of_several_tasks_are_answered_and_the_server_ends(run, task):
    assert run("train", "desk.yaml", "--out", "runs/desk").code == 0
    asked = [("desk", {"text": "pin lost", "label": "card"}), ("desk", {"text": "rate asked"})]
    with serving([task.parent / "runs"]) as server:
        replies = server.ask(asked)
    assert [reply.task for reply in replies] == ["desk", "desk"]
    assert all(reply.text in ("card", "loan") for reply in replies)
    assert not server.ready()


def test_a_server_that_does_not_start_says_why(tmp_path):
    with pytest.raises(PretuneError, match="no finished run"), serving([tmp_path]):
        pass


CHATTY = """
import http.server, sys

print("word " * 2**18, file=sys.stderr)  # more than any pipe holds

class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

http.server.HTTPServer(("127.0.0.1", int(sys.argv[-1])), Ready).serve_forever()
"""


def test_a_server_with_much_to_say_is_not_stopped_by_it(tmp_path, monkeypatch):
    (tmp_path / "chatty.py").write_text(CHATTY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(served, "tether", SimpleNamespace(__name__="chatty"))
    monkeypatch.setattr(served, "START_SECONDS", 30)
    with serving([tmp_path]) as server:
        assert server.ready()


STARTER = """
import signal, sys
from pathlib import Path
from pretune.api import served

wait = served._wait
def told(server, *rest):
    print(server.pid, flush=True)
    wait(server, *rest)

served._wait = told
try:
    with served.serving([Path(sys.argv[1])]):
        print("ready", flush=True)
        signal.pause()
finally:
    print("unwound", flush=True)
"""


@pytest.mark.parametrize(
    ("number", "stage", "said"),
    [
        (signal.SIGTERM, "loading", "unwound\n"),
        (signal.SIGINT, "loading", "unwound\n"),
        (signal.SIGKILL, "loading", ""),
        (signal.SIGKILL, "ready", ""),
    ],
)
def test_no_server_outlives_its_starter(run, task, number, stage, said):
    assert run("train", "desk.yaml", "--out", "runs/desk").code == 0
    command = [sys.executable, "-c", STARTER, "runs"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as starter:
        server = int(starter.stdout.readline())
        if stage == "ready":
            assert starter.stdout.readline() == "ready\n"
        starter.send_signal(number)
        assert starter.wait(60) != 0
        until = time.monotonic() + 10
        while lives(server):
            if time.monotonic() > until:
                os.kill(server, signal.SIGKILL)
                pytest.fail("the server outlived its starter")
            time.sleep(0.05)
        assert starter.stdout.read() == said  # at last: a server left behind would hold it open


def lives(process: int) -> bool:
    """Whether it runs; what has ended and was waited for by nobody does not."""
    found = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process)], check=False, capture_output=True, text=True
    )
    return found.stdout.strip()[:1] not in ("", "Z")
