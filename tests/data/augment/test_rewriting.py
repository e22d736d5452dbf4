"""Back translation and paraphrase on a scripted endpoint: what is kept, what not, what it costs."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import pretune
from data.augment.reworders import TEXT, good, sent, task_rows
from data.teacher.scripted import Scripted, message_of
from pretune.api.augment import augment_rows
from pretune.core.errors import BudgetError, BusyError, SpecError, TeacherError
from pretune.core.files import folder_lock
from pretune.core.origin import origin_of
from pretune.data.augment.labelprobe import LabelProbe
from pretune.data.augment.likeness import likeness, unlike
from pretune.data.augment.refusal import Fault
from pretune.data.privacy.mask import mask_rows, unmask_rows
from pretune.spec.augmenting import parse_augment
from pretune.spec.rewriting import VariantCheckSpec, parse_rewriting
from pretune.spec.task import parse_task

BASE = {"base": "embedded"}


def write(path, rows):
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, "utf-8")


def load(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def task_of(folder, rows=None, **more):
    write(folder / "train.jsonl", task_rows() if rows is None else rows)
    write(folder / "test.jsonl", [{"text": "held out", "label": "card", "answer": "x"}])
    value = {
        "name": "desk",
        "data": {"train": "train.jsonl", "validation": "test.jsonl"},
        "template": {"user": "{text}", "target": "{label}"},
        "labels": ["card", "loan"],
        **more,
    }
    return parse_task({k: v for k, v in value.items() if v is not None}, folder=folder)


def spec(url, *operators, endpoint=None, per_row=1, seed=0, **more):
    place = {"url": url, "model": "scripted", "timeout": 5, "concurrency": 3, **(endpoint or {})}
    rewriting = parse_rewriting({"teacher": {"endpoint": place}, **more})
    named = list(operators) or ["paraphrase"]
    value = {"operators": named, "per_row": per_row, "seed": seed, "rewriting": rewriting}
    return parse_augment(value)


def outputs(folder, stem="varied"):
    names = (f"{stem}.jsonl", f"{stem}.rejected.jsonl")
    return [(folder / name).read_bytes() for name in names]


def test_both_ways_say_the_same_otherwise(tmp_path):
    task, out = task_of(tmp_path), tmp_path / "varied.jsonl"
    with Scripted(good) as server:
        done = augment_rows(
            task, out, spec(server.url, "paraphrase", "back_translation", per_row=2)
        )
        assert len(server.bodies) == 40 + 2 * 40
    assert done.written.counts == {"paraphrase": 40, "back_translation": 40}
    by_id = {origin_of(row).id: row for row in load(tmp_path / "train.jsonl")}
    for row in load(out):
        seed = by_id[origin_of(row).parent]
        assert row["label"] == seed["label"]
        assert row["text"] != seed["text"]
        number, place = seed["text"].split()[4], seed["text"].rstrip(".").split()[-1]
        assert number in row["text"]
        assert place in row["text"]
    recipes = Counter(origin_of(row).recipe.partition("@")[0] for row in load(out))
    assert recipes == {"paraphrase": 40, "back_translation": 40}
    assert done.bill.spent.calls == 120
    assert load(tmp_path / "varied.rejected.jsonl") == []


def test_a_chain_goes_on_from_the_reworded_text(tmp_path):
    task, out = task_of(tmp_path), tmp_path / "varied.jsonl"
    with Scripted(good) as server:
        augment_rows(task, out, spec(server.url, "paraphrase+typo"))
        augment_rows(task, tmp_path / "plain.jsonl", spec(server.url))
    for mistyped, row in zip(load(out), load(tmp_path / "plain.jsonl"), strict=True):
        assert 0.7 < likeness(mistyped["text"], row["text"]) < 1


def test_the_same_seed_gives_the_same_bytes_and_pays_nothing(tmp_path):
    task, out = task_of(tmp_path), tmp_path / "varied.jsonl"
    with Scripted(good) as server:
        given = spec(server.url, per_row=2)
        augment_rows(task, out, given)
        first, calls = outputs(tmp_path), len(server.bodies)
        again = augment_rows(task, out, given, overwrite=True)
        assert outputs(tmp_path) == first
        assert len(server.bodies) == calls
        assert again.bill.from_cache == calls
        augment_rows(task, out, spec(server.url, per_row=2, seed=1), overwrite=True)
        assert len(server.bodies) > calls


JUNK = {
    Fault.FORM: "I am sorry, I cannot do that.",
    Fault.COPIED: "<new>- It must mean, ask and want exactly what it does now, in the same tone "
    "and the same language.</new>",
    Fault.LANGUAGE: "<new>请帮我，我的卡 {n} 在 {place} 丢失了。</new>",
    Fault.COPY: "<new>please help me,  my {thing} {n} was {what} in {place}.</new>",
    Fault.UNLIKE: "<new>xyzzy qux, fjord vamp by jocks, and the</new>",
    Fault.LENGTH: "<new>Please help: the {thing} {n} was {what} in {place}. {long}</new>",
    Fault.NUMBERS: "<new>Could you help with the {thing}? It was {what} in {place}.</new>",
    Fault.VALUES: "<new>Could you help with the {thing} {n}? It was {what} in that town.</new>",
    Fault.NAMES: "<new>Could you and Zorg help with the {thing} {n}, {what} in {place}?</new>",
    Fault.LABEL: "<new>Could you help with the {other} {n}, it was {otherwise} in {place}?</new>",
}


@pytest.mark.parametrize("fault", JUNK)
def test_what_is_no_variant_is_kept_with_its_reason_and_is_no_row(tmp_path, fault):
    def play(body, number):
        text = TEXT.search(message_of(body))[1].rstrip(".").split()
        thing, n, what, place = text[4], text[5], text[7], text[9]
        other = {"card": ("mortgage", "refused"), "mortgage": ("card", "lost")}[thing]
        said = JUNK[fault].format(
            thing=thing, n=n, what=what, place=place, other=other[0], otherwise=other[1],
            long="And so on it goes. " * 12,
        )  # fmt: skip
        return {"text": said}

    task, out = task_of(tmp_path, task_rows()), tmp_path / "varied.jsonl"
    with Scripted(play) as server:
        done = augment_rows(task, out, spec(server.url, tries=2))
        assert len(server.bodies) == 80
    assert load(out) == []
    refused = load(tmp_path / "varied.rejected.jsonl")
    beside = {Fault.NAMES} if fault is Fault.VALUES else set()  # of towns that no list has
    assert {row["reason"] for row in refused} - beside == {fault}
    assert sum(done.written.counts.values()) == 80
    assert refused[0]["row"] == "train.jsonl:1"
    assert refused[0]["text"]


@pytest.mark.parametrize(
    ("play", "fault"),
    [
        ({"text": "<new>Half", "finish": "length"}, Fault.CUT),
        ({"status": 400}, Fault.NO_ANSWER),
    ],
)
def test_answers_that_are_none(tmp_path, play, fault):
    def mostly(body, number):
        return play if "card" in message_of(body) else good(body, number)

    task, out = task_of(tmp_path, task_rows()[::-1]), tmp_path / "varied.jsonl"
    with Scripted(mostly) as server:
        given = spec(server.url, tries=1, endpoint={"concurrency": 1})
        done = augment_rows(task, out, given)
    assert done.written.counts == {f"paraphrase, rejected: {fault}": 20, "paraphrase": 20}


def test_a_pivot_that_is_not_left_or_not_entered(tmp_path):
    def stays(body, number):
        there = "into German" in message_of(body)
        german = "Bitte helfen Sie mir, meine {} {} wurde in {} verloren."
        words = TEXT.search(message_of(body))[1].rstrip(".").split()
        if there:
            return {"text": f"<new>{german.format(words[4], words[5], words[9])}</new>"}
        return {"text": f"<new>{' '.join(words)}.</new>"}

    def echoes(body, number):
        return {"text": f"<new>{TEXT.search(message_of(body))[1]}</new>"}

    for play, fault in ((stays, Fault.LANGUAGE), (echoes, Fault.UNTRANSLATED)):
        out = tmp_path / f"{play.__name__}.jsonl"
        with Scripted(play) as server:
            given = spec(server.url, "back_translation", pivots=["German"], tries=1)
            done = augment_rows(task_of(tmp_path), out, given)
        assert done.written.counts == {f"back_translation, rejected: {fault}": 40}


SPANNED = {
    "text": "Please send the bill of Olwen Ltd to Anna Reed today, Anna Reed asked for it.",
    "answer": "Olwen Ltd",
    "entities": [
        {"type": "ORG", "text": "Olwen Ltd", "start": 24, "end": 33},
        {"type": "PER", "text": "Anna Reed", "start": 54, "end": 63},
    ],
}


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ("Anna Reed wants, please, that Anna Reed is sent what Olwen Ltd has billed today", None),
        ("Anna Reed wants, please, to be sent what Olwen Ltd has billed today", Fault.SPANS),
        ("Anna Reed wants that Anna Reed is sent what Olwen-Ltd has billed today", Fault.TARGET),
    ],
)
def test_annotations_and_answers_move_along_or_the_row_is_refused(tmp_path, said, fault):
    free = {"labels": None, "template": {"user": "{text}", "target": "{answer}"}}
    task, out = task_of(tmp_path, [SPANNED], **free), tmp_path / "varied.jsonl"
    with Scripted(lambda body, n: {"text": f"<new>{said}</new>"}) as server:
        done = augment_rows(task, out, spec(server.url, tries=1))
    if fault:
        assert done.written.counts == {f"paraphrase, rejected: {fault}": 1}
        return
    (row,) = load(out)
    assert row["answer"] == "Olwen Ltd"
    for one in row["entities"]:
        assert row["text"][one["start"] : one["end"]] == one["text"]
    assert row["entities"][1]["start"] == said.index("Anna Reed", 5)


def test_chinese_rows_go_through_english(tmp_path):
    rows = [
        {"text": f"请问我的信用卡第{n}期账单为什么还没有到？", "label": "card"} for n in range(3)
    ]

    def play(body, number):
        prompt = message_of(body)
        if "into English" in prompt:
            n = TEXT.search(prompt)[1].split("第")[1].split("期")[0]
            return {"text": f"<new>Why has bill {n} of my credit card not arrived?</new>"}
        assert "into Chinese" in prompt
        n = TEXT.search(prompt)[1].split("bill ")[1].split(" ")[0]
        return {"text": f"<new>为什么我信用卡的第{n}期账单没有寄到？</new>"}

    with Scripted(play) as server:
        done = augment_rows(
            task_of(tmp_path, rows), tmp_path / "v.jsonl", spec(server.url, "back_translation")
        )
    assert done.written.rows["rows"] == 3


SECRETS = ("Anna Smith", "13800138000", "anna.smith@bank.example")


def masked_rows():
    return [
        {"text": f"I am Mrs Anna Smith, call 13800138000 or write to anna.smith@bank.example. My "
         f"card {n} was lost.", "label": "card"}
        for n in range(3)
    ]  # fmt: skip


def test_what_is_masked_is_neither_stored_nor_sent(tmp_path):
    source, out, key = tmp_path / "in", tmp_path / "out", tmp_path / "keys" / "k"
    source.mkdir()
    task = task_of(source, masked_rows())

    def play(body, number):
        text = TEXT.search(message_of(body))[1]
        who, rest = text.split(". My card ")
        return {"text": f"<new>My card {rest} {who.replace('I am', 'This is')}, thank you</new>"}

    with Scripted(play) as server:
        given = spec(server.url, mask={"key": str(key)})
        done = augment_rows(task, out / "varied.jsonl", given)
        said = sent(server.bodies)
    assert done.written.rows["rows"] == 3
    assert "[PERSON_" in said
    for secret in SECRETS:
        assert secret not in said
        for path in out.rglob("*"):
            assert path.is_dir() or secret.encode() not in path.read_bytes(), path
    mask_rows(source / "train.jsonl", tmp_path / "seed.jsonl", key)
    seeds = {origin_of(row).id for row in load(tmp_path / "seed.jsonl")}
    assert {origin_of(row).parent for row in load(out / "varied.jsonl")} == seeds
    unmask_rows(out / "varied.jsonl", tmp_path / "back.jsonl", key)
    assert all(secret in row["text"] for row in load(tmp_path / "back.jsonl") for secret in SECRETS)


def test_a_pseudonym_that_is_lost_or_changed(tmp_path):
    def play(body, number):
        text = TEXT.search(message_of(body))[1]
        return {"text": f"<new>{text.replace('I am', 'This is').replace('_', '-', 1)}</new>"}

    task = task_of(tmp_path, masked_rows())
    with Scripted(play) as server:
        given = spec(server.url, mask={"key": str(tmp_path / "k")}, tries=1, checks={"most": 1})
        done = augment_rows(task, tmp_path / "v.jsonl", given)
    assert done.written.counts == {f"paraphrase, rejected: {Fault.MASKED}": 3}


def test_a_budget_that_ends_goes_on_when_it_is_raised(tmp_path):
    task, out = task_of(tmp_path), tmp_path / "varied.jsonl"
    with Scripted(good) as server:
        augment_rows(task, tmp_path / "whole.jsonl", spec(server.url))
        with pytest.raises(BudgetError, match=r"beyond budget.calls: 10; raise it"):
            augment_rows(task, out, spec(server.url, budget={"calls": 10}))
        assert not out.exists()
        augment_rows(task, out, spec(server.url, budget={"calls": 100}))
        assert len(server.bodies) == 80
        done = augment_rows(
            task,
            tmp_path / "some.jsonl",
            spec(server.url, budget={"calls": 10, "when_spent": "finish"}),
        )
    assert outputs(tmp_path) == outputs(tmp_path, "whole")
    assert done.written.counts["paraphrase"] == 10
    assert done.written.counts["rows that the budget did not reach, or not wholly"] == 30


def test_a_hostile_endpoint_changes_no_byte(tmp_path, monkeypatch):
    monkeypatch.setattr("pretune.data.teacher.asker._FIRST_WAIT", 0.001)

    def hostile(body, number):
        return [
            {"status": 429, "headers": {"Retry-After": "0"}},
            {**good(body, number), "half": True},
            {"raw": b"<html>busy</html>"},
            good(body, number),
        ][number % 4]

    task = task_of(tmp_path)
    with Scripted(good) as server:
        augment_rows(task, tmp_path / "whole.jsonl", spec(server.url))
    with Scripted(hostile) as server:
        given = spec(server.url, endpoint={"tries": 9, "concurrency": 1})
        done = augment_rows(task, tmp_path / "varied.jsonl", given)
    assert outputs(tmp_path) == outputs(tmp_path, "whole")
    assert done.bill.calls["ended in the middle"] > 5


@pytest.mark.parametrize("stop", [1, 17])
def test_stopped_anywhere_is_uninterrupted(tmp_path, stop):
    class Stopped(Exception):
        pass

    def interrupt(standing):
        if standing.done == stop:
            raise Stopped

    task = task_of(tmp_path)
    with Scripted(good) as server:
        augment_rows(task, tmp_path / "whole.jsonl", spec(server.url))
        with contextlib.suppress(Stopped):
            augment_rows(task, tmp_path / "varied.jsonl", spec(server.url), progress=interrupt)
        done = augment_rows(task, tmp_path / "varied.jsonl", spec(server.url))
        assert len(server.bodies) == 80
    assert done.written.resumed_at == stop
    assert outputs(tmp_path) == outputs(tmp_path, "whole")


SCRIPT = """
import json, sys
from pathlib import Path
from pretune.api.augment import augment_rows
from pretune.spec.augmenting import parse_augment
from pretune.spec.task import parse_task

folder = Path(sys.argv[1])
task = parse_task(json.loads((folder / "task.json").read_text()))
spec = parse_augment(json.loads((folder / "spec.json").read_text()))
augment_rows(task, folder / "varied.jsonl", spec)
"""


def test_kill_9_pays_nothing_twice(tmp_path):
    task = task_of(tmp_path)
    paths = [str(Path(pretune.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with Scripted(good) as server:
        augment_rows(task, tmp_path / "whole.jsonl", spec(server.url))

    def slowly(body, number):
        return {**good(body, number), "sleep": 0.02 if number < 12 else 0.5}

    with Scripted(slowly) as server:
        given = spec(server.url)
        value = task.model_dump(mode="json", exclude_unset=True)
        (tmp_path / "task.json").write_text(json.dumps(value))
        (tmp_path / "spec.json").write_text(given.model_dump_json())
        running = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], env=environment)
        until = time.monotonic() + 100
        while len(server.bodies) < 15:
            assert time.monotonic() < until
            assert running.poll() is None
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
        running.wait()
        asked = len(server.bodies)
    with Scripted(good) as server:
        done = augment_rows(task, tmp_path / "varied.jsonl", spec(server.url))
        lost = done.bill.calls["under way when the process died"]
        assert 1 <= lost <= 3
        # A call is noted before it is sent, so one that was may not have arrived.
        assert 40 <= asked + len(server.bodies) <= 40 + lost
    assert outputs(tmp_path) == outputs(tmp_path, "whole")


def test_two_runs_on_one_folder(tmp_path):
    with (
        Scripted(good) as server,
        folder_lock(tmp_path / "varied.teacher", "asking a teacher"),
        pytest.raises(BusyError, match="another process is asking a teacher"),
    ):
        augment_rows(task_of(tmp_path), tmp_path / "varied.jsonl", spec(server.url))


def test_nobody_answers(tmp_path):
    with Scripted(lambda body, n: {"status": 401}) as server, pytest.raises(TeacherError):
        augment_rows(task_of(tmp_path), tmp_path / "v.jsonl", spec(server.url))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({}, "name one: teacher or translators"),
        ({"teacher": BASE, "pivot": ["German"]}, 'did you mean "pivots"?'),
        (
            {"teacher": {"endpoint": {"url": "https://x.example/v1", "model": "m"}}},
            "is another machine, and no text is sent there unasked; mask it",
        ),
        (
            {"teacher": {"base": "embedded"}, "budget": {"money": 1}},
            "needs teacher.endpoint.prices",
        ),
        ({"teacher": {"base": "embedded"}, "checks": {"least": 0.95}}, "least must be below most"),
    ],
)
def test_a_wrong_file_is_refused_by_its_words(value, said):
    with pytest.raises(SpecError) as error:
        parse_rewriting(value)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"operators": ["paraphrase"]}, "name its rewriting file: --config"),
        (
            {"operators": ["typo"], "rewriting": {"teacher": {"base": "embedded"}}},
            "no operator asks",
        ),
        (
            {
                "operators": ["paraphrase"],
                "rewriting": {"translators": {"forward": "a", "back": "b"}},
            },
            "translators only translate",
        ),
    ],
)
def test_operators_and_file_belong_together(value, said):
    with pytest.raises(SpecError) as error:
        parse_augment(value)
    assert said in str(error.value)


def test_likeness_has_both_bounds():
    checks = VariantCheckSpec()
    old = "How much is the annual fee of the card?"
    assert likeness(old, old.upper()) == 1.0
    assert unlike("What does the card cost me in a year?", old, checks) is None
    assert unlike("How much is the annual fee of the cards?", old, checks) is Fault.COPY
    assert unlike("Quelle est la taxe par an, monsieur?", old, checks) is Fault.LANGUAGE
    assert unlike("年费是多少？", old, checks) is Fault.LANGUAGE
    assert unlike("Zebras do, it is said, vex my zoo.", old, checks) is Fault.UNLIKE


def test_the_probe_of_labels_never_saw_the_row():
    rows = [(f"r:{n}", row["text"], row["label"]) for n, row in enumerate(task_rows())]
    probe = LabelProbe(rows)
    row_id, text, label = rows[0]
    assert probe.judges(row_id, label)
    assert not probe.doubts(row_id, label, text, "a card that got lost, help", 0.5)
    assert probe.doubts(row_id, label, text, "a mortgage that got refused, help", 0.5)
    assert not LabelProbe(rows[:6]).judges(row_id, label)
    assert not probe.judges(row_id, "unknown")


def test_a_row_in_which_the_user_says_nothing_is_not_asked_about(tmp_path):
    template = {"context": "{text}", "user": "Which desk?", "target": "{label}"}
    task = task_of(tmp_path, task_rows(4), template=template)
    with Scripted(good) as server:
        done = augment_rows(task, tmp_path / "v.jsonl", spec(server.url))
        assert server.bodies == []
    assert done.written.counts == {"paraphrase: nothing to change": 4}


def test_a_text_that_stayed_in_the_pivot_is_told_from_a_variant():
    old, pivot = "Mi tarjeta se perdió ayer en la calle.", "Ma carte s'est perdue hier dans la rue."
    checks = VariantCheckSpec(least=0.0)
    assert unlike("Ma carte fut perdue hier dans la rue.", old, checks) is None
    assert unlike("Ma carte fut perdue hier dans la rue.", old, checks, pivot) is Fault.LANGUAGE
    assert unlike("Ayer perdí mi tarjeta en la calle.", old, checks, pivot) is None
