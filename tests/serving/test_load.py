"""The load test itself: it passes on a real server, and sees what it is there to see."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

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
    assert {"whole", "stream", "left", "refused"} <= kinds
    assert found["adapter_loads"] > 2
    assert found["questions"] > 60


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
