"""The load test itself: it passes on a real server, and sees what it is there to see."""

import asyncio
import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_mixed_load_on_a_real_server_leaves_nothing():
    command = [sys.executable, str(BENCHMARKS / "load.py"), "--minutes", "0.15", "--json"]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ran.stdout, ran.stderr[-2000:]
    found = json.loads(ran.stdout)
    assert (found["wrong"], found["left"], ran.returncode) == ([], [], 0)
    kinds = {outcome.partition(" ")[0] for outcome in found["outcomes"]}
    assert kinds == {"whole", "stream", "left", "refused", "killed"}
    assert found["adapter_loads"] > 2
    assert found["questions"] > 60
    assert sum(found["changes"].values()) > 2
    assert found["answers_by_version"]


def test_a_wrong_answer_and_an_error_are_told(running):
    from load_traffic import Traffic
    from load_world import Question

    def ask(name: str, text: str) -> list[str]:
        body = {"model": name, "messages": [{"role": "user", "content": "Which rate?"}]}
        traffic = Traffic(running.url, [Question(body, text)], seed=0)
        traffic.kinds = {traffic.whole: 1, traffic.stream: 1}
        asyncio.run(traffic.run(0.3, rate=20))
        return traffic.tally.wrong

    wrong = ask("free", "surely not this")
    assert set(wrong) == {"whole: another answer for free", "stream: another answer for free"}
    assert "whole: status 404" in ask("nobody", "")


def test_an_answer_must_be_that_of_its_version_and_of_its_time():
    from load_traffic import Traffic
    from load_versions import Pointers
    from load_world import Question

    pointers = Pointers()
    pointers.point("desk", {"old"}, since=-1e9, until=-1e9)
    question = Question({"model": "desk"}, "", None, {"old": "a", "new": "b", "gone": "c"})
    traffic = Traffic("http://nowhere", [question], seed=0, pointers=pointers)

    def problem(text: str, *shown: str, began: float = 0.0) -> str | None:
        return traffic._check(question, text, set(shown), began)

    assert problem("a", "old") is None
    assert problem("b", "old") == "another answer for desk@old"
    assert "when it was not pointed to" in problem("b", "new")
    assert problem("a", "old", "new") == "2 versions in an answer of desk"


def test_a_version_may_answer_from_when_it_was_asked_for_until_the_others_were_told():
    from load_versions import Pointers

    pointers = Pointers()
    pointers.point("desk", {"a"}, since=-math.inf, until=-math.inf)
    pointers.point("desk", {"a", "b"}, since=10, until=math.inf)  # asked for at 10
    pointers.point("desk", {"b"}, since=10, until=12)  # and told at 12

    def times(version: str, *moments: float) -> list[bool]:
        return [pointers.allows("desk", version, moment, moment) for moment in moments]

    assert times("a", 0, 11, 12, 13) == [True, True, True, False]
    assert times("b", 0, 9, 10, 99) == [False, False, True, True]
    assert pointers.allows("desk", "b", 5, 10), "it was promoted while the request ran"
    assert pointers.allows("desk", "a", 12, 99), "it was admitted before"
    assert not pointers.allows("other", "a", 0, 0)
    pointers.point("desk", {"a"}, since=20, until=21)  # back
    assert times("a", 15, 20, 30) == [False, True, True]
    assert times("b", 21, 22) == [True, False]


def test_what_is_left_over_is_told():
    from load_server import MOST_GROWTH, Held, left_over

    idle = dict.fromkeys(
        ("requests_waiting", "requests_running", "cache_blocks_held", "adapter_bytes_held"), 0.0
    )
    before = Held(files=7, threads=4, rss=10**8)
    assert left_over(idle, before, before) == []
    after = Held(files=8, threads=5, rss=10**8 + MOST_GROWTH + 1)
    assert left_over(idle | {"cache_blocks_held": 3.0}, before, after) == [
        "cache_blocks_held is 3",
        "8 open files, 7 before",
        "5 threads, 4 before",
        "48 MiB more memory than before",
    ]


def test_a_fault_in_the_log_is_told(tmp_path):
    """As the worker logs it, by way of what a server's log is without a handler of its own."""
    from load_server import Held, Server, left_over

    code = (
        "import sys\n"
        "from pretune.serving.wire import log_fault\n"
        "print('serving desk at http://127.0.0.1:1/v1; Ctrl-C ends it', file=sys.stderr)\n"
        "try: 1 / 0\n"
        "except ZeroDivisionError as error: log_fault(error)\n"
    )
    server = Server.__new__(Server)
    server._log_file = tmp_path / "server.log"
    with server._log_file.open("w") as log:
        subprocess.run([sys.executable, "-c", code], check=True, stderr=log)
    idle = dict.fromkeys(
        ("requests_waiting", "requests_running", "cache_blocks_held", "adapter_bytes_held"), 0.0
    )
    held = Held(files=7, threads=4, rss=10**8)
    assert left_over(idle, held, held, server.log()) == [
        "the log says: ZeroDivisionError at <string>:4"
    ]


def test_an_answer_that_is_waited_for_in_vain_is_told(running):
    from load_server import MOST_REQUESTS, room

    assert running.worker.most == MOST_REQUESTS
    assert room(running.url, "base") == []
    running.worker._listeners["forgotten"] = SimpleNamespace(task="base")
    try:
        (told,) = room(running.url, "base")
    finally:
        del running.worker._listeners["forgotten"]
    assert told.startswith("no room for 32 answers: 32 requests are under way")
