"""A full server refuses those who fill it, and the others get in."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx2 as httpx
from hypothesis import given
from hypothesis import strategies as st

from pretune.serving.room import TIMES, has_room
from serving.conftest import serve_in_memory
from serving.test_server import QUESTION

CHAT = "/v1/chat/completions"


def test_a_task_that_fills_the_server_is_refused_and_another_is_answered(tmp_path):
    for running in serve_in_memory(tmp_path, most=8, ends=False):
        go = threading.Event()
        go.set()
        step = running.worker._engine.step

        def gated(step=step, go=go):
            assert go.wait(20)
            return step()

        running.worker._engine.step = gated
        with (
            httpx.Client(base_url=running.url, timeout=30) as http,
            ExitStack() as streams,
            ThreadPoolExecutor(1) as beside,
        ):
            free = {"model": "free", "messages": [QUESTION]}
            long = {**free, "max_tokens": 700, "stream": True}
            lines = []  # kept: a reader that is dropped closes the connection
            for _ in range(8):
                stream = streams.enter_context(http.stream("POST", CHAT, json=long))
                lines.append(stream.iter_lines())
                next(lines[-1])
            go.clear()
            other = beside.submit(http.post, CHAT, json={**free, "model": "labels"})
            end = time.monotonic() + 20
            while running.worker.load < 9 and not other.done():
                assert time.monotonic() < end, "the other task's request did not arrive"
                time.sleep(0.001)
            ninth = http.post(CHAT, json=free)
            go.set()
            assert ninth.status_code == 429
            assert ninth.headers["retry-after"] == "1"
            assert '8 of them for "free"' in ninth.json()["error"]["message"]
            assert other.result().status_code == 200, other.result().text


def test_who_has_less_than_an_equal_share_gets_in_and_nobody_twice_over():
    for count in range(6):
        assert has_room("a", ["a"] * count, 4) == (count < 4), "alone, it has all of them"
    full = ["a"] * 4
    assert [has_room("b", full + ["b"] * count, 4) for count in range(4)] == [
        True,
        True,
        False,
        False,
    ]
    assert not has_room("a", ["a"] * 2 + ["b"] * 2, 4)
    assert has_room("c", ["a"] * 2 + ["b"] * 2, 4)
    assert has_room("x", list("abcdefg"), 4), "a share is at least one"
    assert not has_room("x", list("abcdefgh"), 4), "as twice four are under way"


@given(st.integers(1, 6), st.lists(st.sampled_from("abcde"), max_size=40))
def test_one_party_keeps_nobody_out_and_there_is_an_end(most, coming):
    under_way: list[str] = []
    for party in coming:
        if has_room(party, under_way, most):
            under_way.append(party)
    assert len(under_way) <= TIMES * most
    if len(set(under_way)) == 1:
        assert len(under_way) <= most
        assert has_room("somebody else", under_way, most)
