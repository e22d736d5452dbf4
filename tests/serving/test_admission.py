"""Limits by key and by task: what is let in, what is told, and that no clock or name breaks it."""

import time
from contextlib import ExitStack

import httpx2 as httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretune.api.serve import _known_limits
from pretune.core.errors import SpecError, UnknownName
from pretune.serving.admission import Admission
from pretune.serving.keys import Keys, hashed
from pretune.serving.refusal import Refused
from pretune.spec.limits import LimitsSpec, load_limits
from serving.conftest import KEY, serve_in_memory
from serving.test_server import QUESTION, until_idle


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def admission(clock=None, **limits) -> Admission:
    return Admission(LimitsSpec.model_validate(limits), clock or Clock())


def ask(one: Admission, count=1, key="k", task="t") -> Refused | None:
    """One request that is over at once; what it was refused with."""
    try:
        with one.admit(key, task, count):
            return None
    except Refused as refused:
        return refused


def test_a_burst_and_then_the_rate():
    clock = Clock()
    one = admission(clock, each_key={"per_second": 2, "burst": 3})
    assert [ask(one) for _ in range(3)] == [None] * 3
    refused = ask(one)
    assert (refused.status, refused.retry_after) == (429, 1)
    assert str(refused).startswith('key "k": the limit is 2 answers a second, 3 at once')
    clock.now += 0.5
    assert ask(one) is None
    assert ask(one) is not None
    clock.now += 3600
    assert [ask(one) is None for _ in range(4)] == [True, True, True, False]


@given(
    st.floats(0.01, 100),
    st.integers(1, 10),
    st.lists(st.tuples(st.floats(0, 10), st.integers(1, 12)), max_size=40),
)
def test_what_is_let_in_never_exceeds_burst_and_rate(rate, burst, asked):
    clock = Clock()
    one = admission(clock, each_task={"per_second": rate, "burst": burst})
    let_in: list[tuple[float, int]] = []
    for pause, count in asked:
        clock.now += pause
        refused = ask(one, count)
        if refused is None:
            let_in.append((clock.now, count))
        elif refused.retry_after is None:
            assert count > burst
        else:  # who waits as told is let in
            clock.now += refused.retry_after
            assert ask(one, count) is None
            let_in.append((clock.now, count))
    for i, (start, _) in enumerate(let_in):
        for j in range(i, len(let_in)):
            total = sum(count for _, count in let_in[i : j + 1])
            assert total <= burst + rate * (let_in[j][0] - start) + 1e-3


def test_requests_under_way_are_counted_until_they_end():
    one = admission(each_task={"under_way": 3})
    with ExitStack() as under_way:
        under_way.enter_context(one.admit("k", "t", 2))
        refused = ask(one, 2)
        assert (refused.status, refused.retry_after) == (429, 1)
        assert 'task "t": 2 answers are under way and the limit is 3' in str(refused)
        assert ask(one, 1) is None
        assert ask(one, 2, task="other") is None
    assert ask(one, 3) is None


def test_what_can_never_be_let_in_is_no_question_of_waiting():
    for limit in ({"per_second": 1, "burst": 4}, {"under_way": 4}):
        refused = ask(admission(each_key=limit), 5)
        assert (refused.status, refused.retry_after, refused.param) == (400, None, "n")


def test_one_limit_refuses_at_no_cost_of_another():
    clock = Clock()
    one = admission(clock, each_key={"per_second": 1, "burst": 2}, tasks={"t": {"under_way": 1}})
    with one.admit("k", "t", 1):
        assert 'task "t"' in str(ask(one))
        assert 'task "t"' in str(ask(one))
    assert ask(one) is None, "the key paid for what its task refused"
    assert 'key "k"' in str(ask(one))


def test_a_named_key_or_task_has_its_own_limit():
    long_key = hashed(KEY)
    one = admission(
        each_key={"under_way": 1},
        keys={long_key[:12]: {"under_way": 2}},
        tasks={"t": {"weight": 3}},
    )
    assert ask(one, 2, key=long_key) is None
    assert ask(one, 2, key="f" * 64) is not None
    assert (one.weight("t"), one.weight("u")) == (3, 1)


def test_wall_clocks_may_jump(monkeypatch):
    """The limits' clock is monotonic: whatever the time of day does, a second is a second."""
    one = Admission(LimitsSpec.model_validate({"each_key": {"per_second": 0.001, "burst": 1}}))
    assert ask(one) is None
    for jump in (-1e9, 1e9):
        monkeypatch.setattr(time, "time", lambda jump=jump: jump)
        assert ask(one) is not None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("each_kye: {under_way: 1}", 'unknown key "each_kye"; did you mean "each_key"?'),
        ("tasks: {a: {per_secnd: 1}}", 'did you mean "per_second"?'),
        ("tasks: {a: {burst: 2}}", 'burst "2" has no rate to exceed; give per_second too'),
        ("each_key: {per_second: 0}", "greater than 0"),
        ("each_key: {per_second: .inf}", "finite number"),
        ("keys: {xyz: {under_way: 1}}", "keys.xyz"),
        ("keys: {12345678: {under_way: 1}}", "valid string"),
        ("each_task: {weight: -1}", "greater than 0"),
        ("- a", 'holds no mapping; write keys such as "each_key:"'),
    ],
)
def test_bad_limits_files(tmp_path, text, words):
    path = tmp_path / "limits.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_limits(path)
    assert words in str(caught.value)
    with pytest.raises(SpecError, match=r'no limits file .*did you mean "limits.yaml"'):
        load_limits(tmp_path / "limit.yaml")


def test_limits_of_what_is_not_served_are_refused(tmp_path):
    path = tmp_path / "limits.yaml"
    path.write_text("tasks: {dest: {under_way: 1}}")
    with pytest.raises(UnknownName, match='unknown task "dest"; did you mean "desk"'):
        _known_limits(path, Keys(), ["base", "desk"])
    path.write_text('keys: {"0123456789": {under_way: 1}}')
    with pytest.raises(SpecError, match="no line of the key file begins so"):
        _known_limits(path, Keys([hashed(KEY)]), ["base"])


def chat(http, model, **body):
    return http.post("/v1/chat/completions", json={"model": model, "messages": [QUESTION], **body})


def test_a_task_over_its_limit_is_told_and_others_are_not(tmp_path):
    limits = {"tasks": {"free": {"per_second": 0.01, "burst": 2}}}
    for running in serve_in_memory(tmp_path, limits=limits):
        with httpx.Client(base_url=running.url, timeout=30) as one:
            assert chat(one, "free").status_code == 200
            assert chat(one, "free", stream=True).status_code == 200
            for stream in (False, True):
                refused = chat(one, "free", stream=stream)
                assert refused.status_code == 429
                assert 0 < int(refused.headers["retry-after"]) <= 100
                assert refused.json()["error"]["type"] == "rate_limit_error"
                assert 'task "free"' in refused.json()["error"]["message"]
            assert chat(one, "labels").status_code == 200
            assert 'outcome="429",task="free"' in one.get("/metrics").text
        until_idle(running)


def test_keys_are_limited_each_by_itself(tmp_path):
    limits = {"each_key": {"per_second": 0.01, "burst": 1}}
    other = KEY + "-another"
    for running in serve_in_memory(tmp_path, keys=(KEY, other), limits=limits):
        with httpx.Client(base_url=running.url, timeout=30) as one:
            for key in (KEY, other):
                one.headers["authorization"] = f"Bearer {key}"
                assert chat(one, "free").status_code == 200
                message = chat(one, "labels").json()["error"]["message"]
                assert hashed(key)[:12] in message
                assert key not in message


def test_names_that_nobody_serves_leave_no_trace(tmp_path):
    for running in serve_in_memory(tmp_path, limits={"each_task": {"under_way": 9}}):
        with httpx.Client(base_url=running.url, timeout=30) as one:
            for i in range(50):
                assert chat(one, f"made-up-{i}").status_code == 404
            assert chat(one, "free").status_code == 200
        admission = running.service.admission
        assert set(admission._tasks) == {"free"}
        assert set(admission._keys) == {""}


def test_of_several_beginnings_of_a_key_the_longest_counts():
    limits = {"a" * 8: {"per_second": 1}, "a" * 10: {"per_second": 2}, "a" * 9: {"per_second": 3}}
    spec = LimitsSpec.model_validate({"keys": limits, "each_key": {"per_second": 4}})
    found = [spec.of_key("a" * length + "b" * 20).per_second for length in (11, 9, 8, 7)]
    assert found == [2, 3, 1, 4]
