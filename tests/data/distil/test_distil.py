"""Documents to pairs on a scripted endpoint: what is kept, what is not, and what it costs."""

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import pretune
from data.distil.teachers import answer
from data.teacher.scripted import Scripted, message_of
from pretune.core.errors import BudgetError, BusyError, TeacherError
from pretune.core.files import folder_lock
from pretune.core.origin import RowKind, origin_of
from pretune.data.distil.distil import distil
from pretune.data.privacy.mask import unmask_rows
from pretune.data.privacy.masking import open_mask
from pretune.data.teacher.endpoint import EndpointTeacher
from pretune.data.workshop.lineage import read_lineage
from pretune.spec.distil import parse_distil
from pretune.spec.masking import MaskSpec

QUESTIONS = {"fact": 2, "number": 2, "unanswerable": 1}


def spec(url, *, budget=None, questions=QUESTIONS, endpoint=None, **more):
    place = {"url": url, "model": "scripted", "concurrency": 3, "timeout": 5, **(endpoint or {})}
    return parse_distil(
        {
            "teacher": {"endpoint": place},
            "chunks": {"size": 400},
            "questions": questions,
            "budget": budget or {},
            **more,
        }
    )


def run(folder, out, given, **more):
    with EndpointTeacher(given.teacher.endpoint) as teacher:
        return distil(folder, out, given, teacher, **more)


def rows(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def outputs(out):
    names = ("chunks.jsonl", "documents.jsonl", "pairs.jsonl", "rejected.jsonl", "lineage.jsonl")
    return {name: (out / name).read_bytes() for name in names}


def good(body, number):
    return {"text": answer(message_of(body))}


@pytest.fixture
def whole(folder, tmp_path):
    """What an uninterrupted run on a good teacher writes, and the calls that it made."""
    out = tmp_path / "whole"
    with Scripted(good) as server:
        run(folder, out, spec(server.url))
        return outputs(out), len(server.bodies)


def test_pairs_say_where_they_come_from(folder, tmp_path):
    out = tmp_path / "out"
    with Scripted(good) as server:
        done = run(folder, out, spec(server.url))
    kept = rows(out / "pairs.jsonl")
    assert Counter(row["type"] for row in kept) == {"fact": 8, "number": 8, "unanswerable": 7}
    by_question = {row["question"]: row for row in kept}
    gold = by_question["What is the annual fee of the gold card?"]
    assert gold["answer"] == "20 euros"
    assert gold["support"] == "The annual fee of the gold card is 20 euros."
    assert gold["headings"] == ["Cards", "The gold card"]
    assert gold["context"].startswith("Cards > The gold card\n\nThe annual fee")
    assert gold["score"] == 1.0
    assert by_question["金卡的年费是什么？"]["answer"] == "300元"
    assert by_question["借记卡的有效期由谁批准？" if False else "金卡的年费由谁批准？"][
        "answer"
    ] == ("文档中没有说明。")
    origin = origin_of(gold)
    assert (origin.kind, origin.step) == (RowKind.SYNTHETIC, "distil")
    assert origin.parent == gold["chunk"]
    others = [origin_of(row).root for row in kept if row["document"] == "cards.md"]
    assert set(others) == {origin.root}
    assert done.pairs.rows["pairs"] == 23
    assert [line["step"] for line in read_lineage(out)] == ["chunks", "distil"]
    assert read_lineage(out)[1]["counts"]["kept: fact"] == 8


def test_the_key_is_sent_and_written_nowhere(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SCRIPTED_KEY", "sk-very-secret-indeed")
    out = tmp_path / "out"
    with Scripted(good) as server:
        run(folder, out, spec(server.url, endpoint={"key_env": "SCRIPTED_KEY"}))
        assert server.headers[0]["authorization"] == "Bearer sk-very-secret-indeed"
    for path in out.rglob("*"):
        assert path.is_dir() or b"very-secret" not in path.read_bytes()


def test_a_second_run_pays_nothing_and_writes_the_same(folder, tmp_path, whole):
    out = tmp_path / "whole"
    with Scripted(good) as server:
        again = run(folder, out, spec(server.url), overwrite=True)
        assert server.bodies == []
    assert outputs(out) == whole[0]
    assert again.bill.from_cache == whole[1]
    assert again.bill.spent.calls == whole[1]


def test_what_is_there_is_not_replaced_unasked(folder, tmp_path, whole):
    with Scripted(good) as server, pytest.raises(BusyError, match=r"pairs.jsonl\" exists"):
        run(folder, tmp_path / "whole", spec(server.url))


def test_two_runs_on_one_folder(folder, tmp_path):
    out = tmp_path / "out"
    with (
        Scripted(good) as server,
        folder_lock(out / "teacher", "distilling"),
        pytest.raises(BusyError, match="another process is distilling"),
    ):
        run(folder, out, spec(server.url))


def hostile(body, number):
    """Everything that goes wrong, and then the right answer to the same call."""
    return [
        {"status": 429, "headers": {"Retry-After": "0"}},
        {"status": 503, "headers": {"Retry-After": "0"}},
        {"text": answer(message_of(body)), "half": True, "headers": {"Retry-After": "0"}},
        {"raw": b"<html>busy</html>"},
        good(body, number),
    ][number % 5]


def test_a_hostile_endpoint_changes_no_byte(folder, tmp_path, whole, monkeypatch):
    monkeypatch.setattr("pretune.data.teacher.asker._FIRST_WAIT", 0.001)
    out = tmp_path / "out"
    with Scripted(hostile) as server:
        done = run(folder, out, spec(server.url, endpoint={"concurrency": 1, "tries": 9}))
    assert outputs(out) == whole[0]
    assert done.bill.calls["told to wait (429)"] > 5
    assert done.bill.calls["ended in the middle"] > 5
    assert done.bill.calls["was no chat completion"] > 5
    assert done.bill.calls["answered"] == whole[1]


def test_a_storm_of_429_stops_with_all_kept(folder, tmp_path, whole):
    out = tmp_path / "out"
    storm = {"status": 429, "headers": {"Retry-After": "0"}}
    with Scripted(lambda body, n: good(body, n) if n <= 9 else storm) as server:
        with pytest.raises(TeacherError, match=r"no answer in 3 tries.*429.*run the same command"):
            run(folder, out, spec(server.url, endpoint={"tries": 3}))
        paid = sum("choices" not in body for body in server.bodies[:9])
    assert paid == 9
    with Scripted(good) as server:
        run(folder, out, spec(server.url))
        assert len(server.bodies) == whole[1] - 9
    assert outputs(out) == whole[0]


def test_a_long_retry_after_stops_at_once(folder, tmp_path):
    storm = {"status": 429, "headers": {"Retry-After": "7200"}}
    with (
        Scripted(lambda body, n: storm) as server,
        pytest.raises(TeacherError, match=r"7,200 seconds of rest, more than longest_wait"),
    ):
        run(folder, tmp_path / "out", spec(server.url))


@pytest.mark.parametrize("play", [{"sleep": 1}, {"text": "[]", "drip": 0.05}])
def test_a_call_that_lasts_is_counted_at_its_most(folder, tmp_path, play):
    out = tmp_path / "out"
    place = {"timeout": 0.2, "tries": 1, "concurrency": 1}
    with Scripted(lambda body, n: play) as server, pytest.raises(TeacherError, match="timed out"):
        run(folder, out, spec(server.url, endpoint=place))
    base = sqlite3.connect(out / "teacher" / "answers.sqlite")
    ((outcome, tokens),) = base.execute("SELECT outcome, tokens FROM calls")
    base.close()
    assert outcome == "timed out"
    assert tokens > 1024


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "refuses the API key"),
        (402, "wants to be paid; top up the account"),
        (404, "no such path"),
        (405, "no chat completions on this path"),
    ],
)
def test_a_hopeless_status_stops_at_once(folder, tmp_path, status, said):
    with Scripted(lambda body, n: {"status": status}) as server:
        with pytest.raises(TeacherError, match=said):
            run(folder, tmp_path / "out", spec(server.url, endpoint={"concurrency": 1}))
        assert len(server.bodies) == 1


def test_a_redirect_is_not_followed(folder, tmp_path):
    with Scripted(good) as other:
        away = {"status": 307, "headers": {"Location": other.url + "/chat/completions"}}
        with (
            Scripted(lambda body, n: away) as server,
            pytest.raises(TeacherError, match="sends callers elsewhere"),
        ):
            run(folder, tmp_path / "out", spec(server.url))
        assert other.bodies == []


def test_settings_that_every_call_is_refused_for_are_no_refusals(folder, tmp_path):
    out = tmp_path / "out"
    with (
        Scripted(lambda body, n: {"status": 400}) as server,
        pytest.raises(TeacherError, match="refuses what it is sent"),
    ):
        run(folder, out, spec(server.url))
    with Scripted(good) as server:
        assert run(folder, out, spec(server.url)).pairs.rows["pairs"] == 23


@pytest.mark.parametrize("status", [204, 402, 409, 425, 418, 451])
def test_a_status_that_is_about_no_question_costs_none(folder, tmp_path, whole, status):
    out = tmp_path / "out"
    away = {"status": status, "headers": {"Retry-After": "0"}, "raw": b""}
    with (
        Scripted(lambda body, n: good(body, n) if n <= 3 else away) as server,
        pytest.raises(TeacherError, match=f"status {status}"),
    ):
        run(folder, out, spec(server.url, endpoint={"tries": 2}))
    with Scripted(good) as server:
        run(folder, out, spec(server.url))
    assert outputs(out) == whole[0]


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refusal_of_what_was_sent_is_kept(folder, tmp_path, status):
    def play(body, number):
        refused = "<text>" in message_of(body) and "student card is" in message_of(body)
        return {"status": status} if refused else good(body, number)

    out = tmp_path / "out"
    with Scripted(play) as server:
        run(folder, out, spec(server.url, endpoint={"concurrency": 1}))
        paid = len(server.bodies)
        run(folder, out, spec(server.url, endpoint={"concurrency": 1}), overwrite=True)
        assert len(server.bodies) == paid
    assert len(rows(out / "pairs.jsonl")) == 20
    refused = rows(out / "rejected.jsonl")
    assert {row["reason"] for row in refused} == {"the teacher gave no answer"}


def test_an_ask_that_ended_three_runs_is_left_out(folder, tmp_path):
    def play(body, number):
        bad = "colour of the blue card is" in message_of(body)
        return {"status": 500, "headers": {"Retry-After": "0"}} if bad else good(body, number)

    out = tmp_path / "out"
    given = {"tries": 2}
    questions = {"fact": 2}
    with Scripted(play) as server:
        one = spec(server.url, endpoint=given, questions=questions)
        for _ in range(2):
            with pytest.raises(TeacherError, match="no answer in 2 tries"):
                run(folder, out, one)
        run(folder, out, one)
    assert len(rows(out / "pairs.jsonl")) == 7


def test_a_budget_that_ends_goes_on_when_it_is_raised(folder, tmp_path, whole):
    out = tmp_path / "out"
    with Scripted(good) as server:
        with pytest.raises(BudgetError, match=r"beyond budget.calls: 10; raise it"):
            run(folder, out, spec(server.url, budget={"calls": 10}))
        assert len(server.bodies) == 10
        assert not (out / "pairs.jsonl").exists()
        run(folder, out, spec(server.url, budget={"calls": 1000}))
        assert len(server.bodies) == whole[1]
    assert outputs(out) == whole[0]


def test_a_budget_of_money_is_never_passed(folder, tmp_path):
    out = tmp_path / "out"
    prices = {"prompt": 1.0, "answer": 10.0, "currency": "EUR"}
    budget = {"money": 0.02, "when_spent": "finish"}
    with Scripted(good) as server:
        done = run(folder, out, spec(server.url, budget=budget, endpoint={"prices": prices}))
    assert 0.005 < done.bill.spent.money <= 0.02
    assert 0 < done.pairs.rows["pairs"] < 23
    assert done.pairs.counts["chunks that the budget did not reach, or not wholly"] > 0
    assert done.to_dict()["spent"]["currency"] == "EUR"


def test_a_budget_of_tokens(folder, tmp_path):
    out = tmp_path / "out"
    with Scripted(good) as server, pytest.raises(BudgetError, match=r"budget.tokens: 5,000"):
        run(folder, out, spec(server.url, budget={"tokens": 5000}))


@pytest.mark.parametrize("stop", [1, 4, 7])
def test_stopped_anywhere_is_uninterrupted(folder, tmp_path, whole, stop):
    class Stopped(Exception):
        pass

    def interrupt(standing):
        if standing.done == stop:
            raise Stopped

    out = tmp_path / "out"
    with Scripted(good) as server:
        with pytest.raises(Stopped):
            run(folder, out, spec(server.url), progress=interrupt)
        done = run(folder, out, spec(server.url))
        assert len(server.bodies) == whole[1]
    assert done.pairs.resumed_at == stop
    assert outputs(out) == whole[0]


SCRIPT = """
import sys
from pathlib import Path
from pretune.data.distil import distil as module
from pretune.data.teacher.endpoint import EndpointTeacher
from pretune.spec.distil import load_distil

module._CHECKPOINT = 1
spec = load_distil(sys.argv[1])
with EndpointTeacher(spec.teacher.endpoint) as teacher:
    module.distil(Path(sys.argv[2]), Path(sys.argv[3]), spec, teacher)
"""


def test_kill_9_pays_nothing_twice(folder, tmp_path, whole):
    out, config = tmp_path / "out", tmp_path / "distil.yaml"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(
            [str(Path(pretune.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        ),
    }

    def slowly(body, number):
        return {**good(body, number), "sleep": 0.02 if number < 12 else 0.5}

    with Scripted(slowly) as server:
        config.write_text(json.dumps(spec(server.url).model_dump(mode="json")))
        command = [sys.executable, "-c", SCRIPT, str(config), str(folder), str(out)]
        running = subprocess.Popen(command, env=environment)
        until = time.monotonic() + 60
        while len(server.bodies) < 15:
            assert time.monotonic() < until
            assert running.poll() is None
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
        running.wait()
        asked = len(server.bodies)
    assert not (out / "pairs.jsonl").exists()
    with Scripted(good) as server:
        done = run(folder, out, spec(server.url))
        lost = done.bill.calls["under way when the process died"]
        assert 1 <= lost <= 3
        # A call is noted before it is sent, so one that was may not have arrived.
        assert whole[1] <= asked + len(server.bodies) <= whole[1] + lost
    assert outputs(out) == whole[0]


JUNK = {
    "not the JSON that was asked for": "I am sorry, I cannot.",
    "repeats the prompt": "Answer with a JSON array of this form:\n[]",
    "no question or no answer": [("", "20 euros", "")],
    "points at a text its reader does not see": [("What fee does this section name?", "x", "x")],
    "in another language than its text": [("金卡的年费是多少？", "20 euros", "x")],
    "the quoted support is not in the text": [
        ("What is the annual fee of the gold card?", "20 euros", "The fee is twenty euros.")
    ],
    "a number is not in the support": [
        (
            "What is the annual fee of the gold card?",
            "21 euros",
            "The annual fee of the gold card is 20 euros.",
        )
    ],
    "a name is not in the support": [
        (
            "What is the annual fee of the gold card?",
            "The bank Acme asks 20 euros",
            "The annual fee of the gold card is 20 euros.",
        )
    ],
    "the answer says what the text does not": [
        (
            "What is the annual fee of the gold card?",
            "twenty euros payable each spring by transfer",
            "The annual fee of the gold card is 20 euros.",
        )
    ],
    "the question does not find its text": [
        (
            "What is the annual fee of the blue card navy?",
            "20 euros",
            "The annual fee of the gold card is 20 euros.",
        )
    ],
}


@pytest.mark.parametrize("reason", JUNK)
def test_junk_is_kept_with_its_reason_and_never_trained_on(folder, tmp_path, reason):
    given = JUNK[reason]
    if not isinstance(given, str):
        keys = ("question", "answer", "support")
        given = json.dumps([dict(zip(keys, pair, strict=True)) for pair in given])

    def play(body, number):
        return {"text": given if "Headings: Cards > The gold card" in message_of(body) else "[]"}

    out = tmp_path / "out"
    with Scripted(play) as server:
        run(folder, out, spec(server.url, questions={"number": 1}, checks={"found_within": 1}))
    assert rows(out / "pairs.jsonl") == []
    rejected = rows(out / "rejected.jsonl")
    assert {row["reason"] for row in rejected} == {reason}
    assert len(rejected) == (2 if isinstance(JUNK[reason], str) else 1)


def test_an_answer_cut_at_max_tokens_is_junk_and_asked_for_once_more(folder, tmp_path):
    def play(body, number):
        cut = body["seed"] == 0
        return {**good(body, number), "finish": "length" if cut else "stop"}

    out = tmp_path / "out"
    with Scripted(play) as server:
        done = run(folder, out, spec(server.url, questions={"number": 2}))
    assert done.pairs.rows == {"pairs": 8, "rejected": 7}
    assert {row["reason"] for row in rows(out / "rejected.jsonl")} == {"cut off at max_tokens"}


def test_ten_questions_from_one_page_are_ten_different_questions(tmp_path):
    folder = tmp_path / "documents"
    folder.mkdir()
    words = ("fee", "limit", "rate", "term", "bonus", "charge", "penalty", "discount", "tax", "cap")
    text = " ".join(f"The {word} of the gold card is {n} euros." for n, word in enumerate(words))
    (folder / "page.txt").write_text(text)

    def play(body, number):
        pairs = []
        for n, word in enumerate(words):
            support = f"The {word} of the gold card is {n} euros."
            for form in ("What is the {} of the gold card?", "How high is the gold card's {}?"):
                asked = {"question": form.format(word), "answer": f"{n} euros", "support": support}
                pairs.append(asked)
        return {"text": json.dumps(pairs)}

    out = tmp_path / "out"
    with Scripted(play) as server:
        given = spec(server.url, questions={"number": 20}, chunks={"size": 2000})
        run(folder, out, given)
    kept = rows(out / "pairs.jsonl")
    assert len({row["answer"] for row in kept}) == len(kept) == 10
    assert {row["reason"] for row in rows(out / "rejected.jsonl")} == {"asked before"}


def test_a_question_that_the_documents_answer_is_not_unanswerable(folder, tmp_path):
    def play(body, number):
        prompt = message_of(body)
        if prompt.rstrip().endswith("The documents do not say."):
            return {"text": "It is 20 euros."}
        question = "What is the annual fee of the gold card?"
        return {"text": json.dumps([{"question": question, "answer": "", "support": ""}])}

    out = tmp_path / "out"
    with Scripted(play) as server:
        run(folder, out, spec(server.url, questions={"unanswerable": 1}))
    assert rows(out / "pairs.jsonl") == []
    reasons = Counter(row["reason"] for row in rows(out / "rejected.jsonl"))
    assert reasons["asked again, the teacher answers otherwise"] >= 1


SECRETS = ("Anna Smith", "13800138000", "anna.smith@bank.example", "sk-9fQ2xLr8TzW4mVb7Kd1p")


def test_what_is_masked_is_neither_stored_nor_sent(folder, tmp_path):
    (folder / "people 13800138000.txt").write_text(
        "The director of the bank is Mrs Anna Smith. The phone of the director is 13800138000.\n\n"
        "The address of the director is anna.smith@bank.example. password: sk-9fQ2xLr8TzW4mVb7Kd1p"
        "\n\nWhoever meets Anna Smith may ask her for more. 联系人：王小明，电话13800138000。"
    )
    out, key = tmp_path / "out", tmp_path / "keys" / "k"
    with Scripted(good) as server:
        with open_mask(MaskSpec(key=key)) as mask:
            done = run(folder, out, spec(server.url), mask=mask)
        sent = json.dumps([server.bodies, server.headers], ensure_ascii=False)
    assert "[PERSON_" in sent
    for secret in (*SECRETS, "王小明"):
        assert secret not in sent
        for path in out.rglob("*"):
            assert path.is_dir() or secret.encode() not in path.read_bytes(), path
    assert done.chunks.counts["masked: PHONE"] >= 2
    back = unmask_rows(out / "pairs.jsonl", tmp_path / "back.jsonl", key)
    director = next(r for r in rows(tmp_path / "back.jsonl") if "director of the" in r["question"])
    assert director["answer"] == "Mrs Anna Smith"
    assert "anna.smith@bank.example" in director["context"]
    assert director["document"] == "people 13800138000.txt"
    assert back.counts["PERSON"] >= 3


def test_a_masked_run_goes_on_from_a_kill_and_pays_nothing_twice(folder, tmp_path):
    class Stopped(Exception):
        pass

    def interrupt(standing):
        if standing.done == 2:
            raise Stopped

    given = {"mask": {"key": str(tmp_path / "k")}}
    (folder / "people.txt").write_text("The director of the bank is Mrs Anna Smith. " * 3)
    for name, stops in (("whole", None), ("broken", interrupt)):
        with Scripted(good) as server:
            one = spec(server.url, **given)
            with open_mask(one.mask) as mask, contextlib.suppress(Stopped):
                run(folder, tmp_path / name, one, mask=mask, progress=stops)
            with open_mask(one.mask) as mask, contextlib.suppress(BusyError):
                run(folder, tmp_path / name, one, mask=mask)
            calls = len(server.bodies)
    assert outputs(tmp_path / "broken") == outputs(tmp_path / "whole")
    assert calls == 29 + 3


def test_twins_are_asked_about_once(tmp_path):
    folder = tmp_path / "documents"
    folder.mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text("The annual fee of the gold card is 20 euros, as said.")
    (folder / "c.txt").write_text("Short.")
    with Scripted(good) as server:
        done = run(folder, tmp_path / "out", spec(server.url, questions={"number": 1}))
        assert len(server.bodies) == 1
    assert done.pairs.counts["chunks that stood before, word by word"] == 1
    assert done.pairs.counts["chunks too short to ask about"] == 1


def test_progress_tells_costs(folder, tmp_path):
    told = []
    with Scripted(good) as server:
        run(folder, tmp_path / "out", spec(server.url), progress=told.append)
    assert [one.done for one in told] == list(range(1, 8))
    assert told[-1].kept == 23
    assert told[-1].of == 7
    assert told[-1].spent.calls == 28


def test_no_word_of_ours_is_lost_in_braces():
    from pretune.data.distil.prompts import prompts_in
    from pretune.spec.distil import QuestionType

    for language in ("en", "zh"):
        prompts = prompts_in(language)
        for kind in QuestionType:
            _, user = prompts.ask(kind, 3, ["A", "B"], "{text} {count}", ["before?"])
            assert "{text} {count}" in user
            assert not re.findall(r"\{(?!text\}|count\}|\")", user)
            assert "A > B" in user
            assert "- before?" in user


def test_a_resumed_run_remembers_what_was_asked(tmp_path):
    class Stopped(Exception):
        pass

    def interrupt(standing):
        if standing.done == 1:
            raise Stopped

    folder, out = tmp_path / "documents", tmp_path / "out"
    folder.mkdir()
    for name, end in (("a.txt", "It is due in May."), ("b.txt", "It may be waived.")):
        (folder / name).write_text(f"The annual fee of the gold card is 20 euros. {end}")
    with Scripted(good) as server:
        given = spec(server.url, questions={"number": 1})
        with pytest.raises(Stopped):
            run(folder, out, given, progress=interrupt)
        run(folder, out, given)
    assert [row["document"] for row in rows(out / "pairs.jsonl")] == ["a.txt"]
    assert [row["reason"] for row in rows(out / "rejected.jsonl")] == ["asked before"]


def test_a_teacher_is_told_what_was_asked_before(folder, tmp_path):
    with Scripted(good) as server:
        run(folder, tmp_path / "out", spec(server.url))
        prompts = [message_of(body) for body in server.bodies]
    numbers = [p for p in prompts if "asks for an amount" in p and "gold card is" in p]
    assert "- What is the colour of the gold card?" in numbers[0]
