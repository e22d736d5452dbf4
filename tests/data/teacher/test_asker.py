"""Budgets and answers under threads, and what the ledger remembers."""

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.teacher.scripted import Scripted
from pretune.core.errors import BudgetError, StorageError, TeacherError
from pretune.data.inorder import in_order
from pretune.data.teacher.ask import Ask, CallFailed, Outcome, Reply
from pretune.data.teacher.asker import Asker
from pretune.data.teacher.endpoint import EndpointTeacher
from pretune.data.teacher.ledger import Ledger
from pretune.data.teacher.pace import Pace
from pretune.spec.teacher import BudgetSpec, EndpointSpec, PriceSpec


def asking(n):
    return Ask("system", f"prompt {n}", 10, 0.0, 0)


class Teacher:
    """Answers after what ``fails`` gives; counts calls by prompt."""

    model = "m"

    def __init__(self, fails=(), pause=0.0):
        self.fails = list(fails)
        self.pause = pause
        self.calls = []
        self._lock = threading.Lock()

    def call(self, ask):
        with self._lock:
            self.calls.append(ask.user)
            failed = self.fails.pop(0) if self.fails else None
        time.sleep(self.pause)
        if failed is not None:
            raise failed if isinstance(failed, Exception) else CallFailed(failed, "x", 0.0)
        return Reply(f"answer to {ask.user}", True, 5, 3)


def asker(teacher, ledger, tries=3, **budget):
    return Asker(teacher, ledger, BudgetSpec(**budget), Pace(), tries=tries)


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "answers.sqlite", PriceSpec(prompt=1, answer=10)) as one:
        yield one


def test_one_answer_is_asked_for_once_by_many_threads(ledger):
    teacher = Teacher(pause=0.05)
    one = asker(teacher, ledger)
    replies = list(in_order(lambda _: one.ask(asking(1)), range(16), 8))
    assert {reply.text for reply in replies} == {"answer to prompt 1"}
    assert len(teacher.calls) == 1
    assert one.from_cache == 15


@settings(max_examples=20)
@given(st.integers(0, 12), st.integers(1, 6), st.lists(st.sampled_from(list(Outcome)[1:6])))
def test_a_budget_of_calls_is_kept_under_threads(tmp_path_factory, calls, threads, fails):
    with Ledger(tmp_path_factory.mktemp("x") / "answers.sqlite") as ledger:
        teacher = Teacher(fails[:10], pause=0.001)
        one = asker(teacher, ledger, tries=20, calls=calls)
        with pytest.raises(BudgetError, match=f"budget.calls: {calls}"):
            list(in_order(lambda n: one.ask(asking(n)), range(40), threads))
        assert len(teacher.calls) == calls
        assert ledger.spent().calls == calls


def test_what_a_call_costs(ledger):
    one = asker(Teacher(), ledger)
    one.ask(asking(1))
    # 5 tokens at 1 and 3 at 10 for a million
    assert one.spent == ledger.spent() == (1, 8, pytest.approx(35e-6))


@pytest.mark.parametrize(
    ("outcome", "counts"), [(Outcome.RATE_LIMITED, False), (Outcome.HALF, True)]
)
def test_a_call_that_broke_off_counts_at_its_most(ledger, outcome, counts):
    one = asker(Teacher([outcome]), ledger)
    one.ask(asking(1))
    most = asking(1).most_tokens
    assert ledger.spent().tokens == 8 + (most if counts else 0)
    assert one.spent == ledger.spent()


def test_a_call_under_way_when_the_process_dies_is_remembered_at_its_most(tmp_path):
    path = tmp_path / "answers.sqlite"
    with Ledger(path) as ledger:
        ledger.begin("key", asking(1))
    with Ledger(path) as ledger:
        assert ledger.spent().tokens == asking(1).most_tokens
        assert ledger.outcomes() == {Outcome.SENT: 1}


@pytest.mark.parametrize(
    ("outcome", "longest", "expected"),
    [
        (Outcome.SERVER_ERROR, 60, [1, 2, 4, 8, 16, 32, 60, 60]),
        (Outcome.SERVER_ERROR, 300, [1, 2, 4, 8, 16, 32, 60, 60]),
        (Outcome.TIMEOUT, 10, [1, 2, 4, 8, 10, 10]),
    ],
)
def test_back_off_doubles_and_stops_at_a_minute_or_the_longest_wait(
    ledger, outcome, longest, expected
):
    waits = []
    pace = Pace(sleep=waits.append)
    fails, tries = [CallFailed(outcome, "x")] * len(expected), len(expected) + 1
    one = Asker(Teacher(fails), ledger, BudgetSpec(), pace, tries=tries, longest_wait=longest)
    assert one.ask(asking(1)).text == "answer to prompt 1"
    assert waits == expected


def test_a_question_that_times_out_keeps_others_waiting_for_three_runs_at_most(ledger):
    for run in range(3):
        fails = [CallFailed(Outcome.TIMEOUT, "x")] * 6
        pace = Pace(sleep=lambda _: None)
        one = Asker(Teacher(fails), ledger, BudgetSpec(), pace, tries=6, longest_wait=10)
        if run < 2:
            with pytest.raises(TeacherError, match="no answer in 6 tries; the last one timed out"):
                one.ask(asking(1))
        else:
            assert one.ask(asking(1)) is None


@pytest.mark.parametrize(
    "given", ["Mon, 01 Jan 99999999999 00:00:00 GMT", "Mon, 01 Jan 2024 00:00:00 +99999999999999"]
)
def test_a_rest_until_a_time_that_no_clock_tells_is_none(given):
    busy = {"status": 503, "headers": {"Retry-After": given}}
    with (
        Scripted(lambda body, number: busy) as server,
        EndpointTeacher(EndpointSpec(url=server.url, model="m")) as teacher,
        pytest.raises(CallFailed, match="status 503") as failed,
    ):
        teacher.call(asking(1))
    assert failed.value.wait is None


def test_the_teachers_own_wait_goes_before(ledger):
    waits = []
    fails = [CallFailed(Outcome.SERVER_ERROR, "x", 17.0)]
    one = Asker(Teacher(fails), ledger, BudgetSpec(), Pace(sleep=waits.append), tries=2)
    one.ask(asking(1))
    assert waits == [17]


def test_all_threads_hear_the_first_reason(ledger):
    teacher = Teacher([TeacherError("the key is refused")], pause=0.01)
    one = asker(teacher, ledger)
    with pytest.raises(TeacherError, match="the key is refused"):
        list(in_order(lambda n: one.ask(asking(n)), range(50), 4))
    assert len(teacher.calls) <= 4


def test_a_damaged_file_of_answers_is_said(tmp_path):
    path = tmp_path / "answers.sqlite"
    path.write_bytes(b"no database at all, but long enough" * 100)
    with pytest.raises(StorageError, match=r"is no file of answers .* move it away"):
        Ledger(path)


def test_another_question_has_another_name():
    one = Ask("s", "u", 10, 0.5, 0)
    others = [
        Ask("x", "u", 10, 0.5, 0),
        Ask("s", "x", 10, 0.5, 0),
        Ask("s", "u", 11, 0.5, 0),
        Ask("s", "u", 10, 0.6, 0),
        Ask("s", "u", 10, 0.5, 1),
    ]
    keys = {one.key("m"), one.key("n"), *(other.key("m") for other in others)}
    assert len(keys) == 7
