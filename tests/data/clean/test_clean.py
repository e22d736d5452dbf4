"""What is planted is found, with its reason; what is removed is kept with it; nothing else goes."""

import errno
import gc
import json
import os
import signal
from collections import Counter
from random import Random

import numpy as np
import pytest

from pretune.core.errors import BusyError, DataError, SpecError, StorageError
from pretune.core.files import folder_lock, write_atomic
from pretune.data.clean import clean
from pretune.data.clean.boilerplate import Repeated, sentences
from pretune.data.clean.clean import clean_rows
from pretune.data.clean.noise import doubts
from pretune.data.clean.notes import Notes
from pretune.data.clean.outliers import far_off, likeness, script_of
from pretune.data.workshop.draft import Draft
from pretune.spec.cleaning import CleanSpec, Flag, parse_clean
from pretune.spec.task import parse_task

ASKS = {
    "card": "My card {} was lost in {} and I want it blocked before someone pays with it",
    "loan": "The rate of loan {} from {} rose and I want to repay it early without a fee",
    "login": "I cannot log in to the app as {} since {} and the code never reaches my phone",
}
WHERE = [
    a + b for a in ("Nor", "Vel", "Tam", "Kis", "Bru") for b in ("bury", "ton", "stad", "polis")
]


def rows(count, seed=0):
    rng = Random(seed)
    made = []
    for n in range(count):
        label = list(ASKS)[n % 3]
        parts = (f"{rng.randrange(10**9):09}", rng.choice(WHERE))
        words = ASKS[label].format(*parts).split()
        rng.shuffle(words)
        made.append({"text": " ".join(words), "label": label})
    return made


def save(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def load(path):
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def task_of(folder, train, test=(), labels=tuple(ASKS)):
    save(folder / "train.jsonl", train)
    save(folder / "test.jsonl", test or [{"text": "what is this", "label": "card"}])
    value = {
        "name": "t",
        "data": {"train": "train.jsonl", "test": "test.jsonl", "validation": "test.jsonl"},
        "template": {"user": "{text}", "target": "{label}"},
    }
    if labels:
        value["labels"] = list(labels)
    return parse_task(value, folder=folder)


def run(folder, train, test=(), labels=tuple(ASKS), **spec):
    found = clean_rows(task_of(folder, train, test, labels), folder / "out", CleanSpec(**spec))
    removed, flagged = (
        {one["row"]: one for one in load(folder / "out" / f"{name}.jsonl")}
        for name in ("removed", "flagged")
    )
    return found, removed, flagged


def test_the_task_s_own_files_are_not_replaced(tmp_path):
    task = task_of(tmp_path, rows(30))
    before = (tmp_path / "train.jsonl").read_bytes()
    with pytest.raises(SpecError, match=r'train.jsonl" is a file to be read; name another'):
        clean_rows(task, tmp_path, CleanSpec(), overwrite=True)
    assert (tmp_path / "train.jsonl").read_bytes() == before
    assert not (tmp_path / "cleaning.part").exists()


def test_near_duplicates_and_leaks_go_and_the_first_stays(tmp_path):
    base = rows(60)
    near = [{**row, "text": row["text"].upper() + " ."} for row in base[:5]]
    leaks = rows(4, seed=9)
    test = [{**row, "text": row["text"] + "!"} for row in leaks]
    found, removed, _ = run(tmp_path, [*base, *near, *leaks], test)
    assert load(tmp_path / "out" / "train.jsonl") == base
    assert {row: one["flags"] for row, one in removed.items()} == {
        **{f"train.jsonl:{n}": ["duplicate"] for n in range(61, 66)},
        **{f"train.jsonl:{n}": ["leak"] for n in range(66, 70)},
    }
    assert removed["train.jsonl:61"]["like"] == "train.jsonl:1"
    assert removed["train.jsonl:66"]["like"] == "test.jsonl:1"
    assert removed["train.jsonl:61"]["content"] == near[0]
    assert found.written.counts["kept"] == 60


def test_many_rows_like_one_test_row_all_leak(tmp_path):
    (held,) = rows(1, seed=5)
    alike = [{**held, "text": f"{held['text']} {mark}"} for mark in "!?.;,"]
    _, removed, _ = run(tmp_path, [*rows(40), *alike], [held])
    assert [removed[f"train.jsonl:{n}"]["flags"] for n in range(41, 46)] == [["leak"]] * 5
    assert {one["like"] for one in removed.values()} == {"test.jsonl:1"}


def test_one_question_with_two_labels_is_told_and_stays(tmp_path):
    base = rows(60)
    other = {"text": base[0]["text"], "label": "loan"}
    close = {"text": base[3]["text"] + "?", "label": "login"}
    found, removed, flagged = run(tmp_path, [*base, other, close])
    assert removed == {}
    assert "contradiction" in flagged["train.jsonl:61"]["flags"]
    assert "near-label" in flagged["train.jsonl:62"]["flags"]
    assert (found.flags[Flag.CONTRADICTION], found.flags[Flag.NEAR_LABEL]) == (1, 1)


def test_free_answers_may_differ(tmp_path):
    base = rows(40)
    _, removed, flagged = run(tmp_path, [*base, {**base[0], "label": "free"}], labels=())
    assert not removed
    assert not any({"contradiction", "near-label", "noise"} & set(one["flags"])
                   for one in flagged.values())  # fmt: skip


def test_planted_labels_are_doubted_most(tmp_path):
    base = rows(150)
    wrong = [3, 40, 77, 120]
    for n in wrong:
        base[n] = {**base[n], "label": list(ASKS)[(n + 1) % 3]}
    _, _, flagged = run(tmp_path, base)
    noisy = {row: one["doubt"] for row, one in flagged.items() if "noise" in one["flags"]}
    assert set(noisy) == {f"train.jsonl:{n + 1}" for n in wrong}
    assert min(noisy.values()) > 0


def test_doubts_rank_and_stay_in_their_range():
    base = rows(90)
    labels = [row["label"] for row in base]
    labels[10] = "card" if labels[10] != "card" else "loan"
    found = doubts([row["text"] for row in base], labels)
    assert found.margin.argmax() == 10
    assert list(np.flatnonzero(found.candidate)) == [10]
    assert (np.abs(found.margin) <= 1).all()


def test_labels_of_one_row_and_of_one_kind():
    texts = [row["text"] for row in rows(30)]
    single = doubts(texts, ["a"] * 15 + ["b"] * 14 + ["c"])
    assert len(single.margin) == 30


def test_outliers_scripts_and_boilerplate(tmp_path):
    notice = "This message is confidential and meant for the addressee alone."
    base = [{**row, "text": f"{row['text']}. {notice}" if n < 30 else row["text"]}
            for n, row in enumerate(rows(200))]  # fmt: skip
    base.append({"text": "word " * 2000, "label": "card"})
    base.append({"text": "我的银行卡在支行丢了，想马上挂失", "label": "card"})
    found, _, flagged = run(tmp_path, base)
    assert "length" in flagged["train.jsonl:201"]["flags"]
    assert "unlike" in flagged["train.jsonl:201"]["flags"]
    assert "language" in flagged["train.jsonl:202"]["flags"]
    assert [n for n, one in flagged.items() if "boilerplate" in one["flags"]] == [
        f"train.jsonl:{n}" for n in range(1, 31)
    ]
    assert found.boilerplate == {notice.lower(): 30}


def test_any_flag_can_be_removed_and_unknown_ones_are_named(tmp_path):
    base = rows(150)
    base[5] = {**base[5], "label": list(ASKS)[(5 + 1) % 3]}
    found, removed, _ = run(tmp_path, base, remove=(Flag.NOISE,))
    assert list(removed) == ["train.jsonl:6"]
    assert found.written.rows["train"] == 149
    with pytest.raises(SpecError, match=r'unknown remove "duplicates"; did you mean "duplicate"'):
        parse_clean({"remove": ["duplicates"]})


def test_unusable_rows_are_counted(tmp_path):
    found, _, _ = run(tmp_path, [*rows(40), {"text": "x", "label": "unknown"}, {"text": ""}])
    assert found.unreadable == 2


def test_the_page_escapes_text_and_counts_hold_none(tmp_path):
    base = [*rows(30), {"text": "<script>alert(1)</script> " * 200, "label": "card"}]
    found, _, _ = run(tmp_path, base)
    page = found.page.read_text("utf-8")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "alert" not in json.dumps(found.to_dict())


def test_a_second_run_needs_to_be_asked_for_and_gives_the_same_bytes(tmp_path):
    task = task_of(tmp_path, rows(40))
    clean_rows(task, tmp_path / "out", CleanSpec())
    before = (tmp_path / "out" / "train.jsonl").read_bytes()
    passes = []
    with pytest.raises(BusyError, match="--overwrite"):
        clean_rows(task, tmp_path / "out", CleanSpec(), progress=lambda *told: passes.append(told))
    assert passes == []  # it is said before anything is looked at
    clean_rows(task, tmp_path / "out", CleanSpec(), overwrite=True)
    assert (tmp_path / "out" / "train.jsonl").read_bytes() == before


@pytest.mark.parametrize("stage", ["looked at", "written"])
def test_kill_9_leaves_nothing_behind_and_the_same_call_ends_with_the_same_bytes(tmp_path, stage):
    task, out = task_of(tmp_path, rows(60)), tmp_path / "out"
    clean_rows(task, tmp_path / "whole", CleanSpec())
    child = os.fork()
    if child == 0:
        left = Counter({stage: 30})

        def die(name, count):
            left[name] -= count
            if not left[stage]:
                os.kill(os.getpid(), signal.SIGKILL)

        clean_rows(task, out, CleanSpec(), progress=die)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert (out / "cleaning.part" / "signatures").exists()
    clean_rows(task, out, CleanSpec())
    for name in ("train", "removed", "flagged"):
        whole = (tmp_path / "whole" / f"{name}.jsonl").read_bytes()
        assert (out / f"{name}.jsonl").read_bytes() == whole
    assert {path.name for path in out.iterdir()} == {x.name for x in (tmp_path / "whole").iterdir()}


@pytest.mark.parametrize("before", [write_atomic, Draft.publish])
def test_a_kill_before_all_is_in_place_leaves_no_folder_without_its_page(
    tmp_path, monkeypatch, before
):
    task, out = task_of(tmp_path, rows(60)), tmp_path / "out"
    whole = clean_rows(task, tmp_path / "whole", CleanSpec())
    with monkeypatch.context() as patched:
        if before is Draft.publish:
            patched.setattr(Draft, "publish", _killed)
        else:
            patched.setattr(clean, "write_atomic", _killed)
        with pytest.raises(KeyboardInterrupt):
            clean_rows(task, out, CleanSpec())
    found = clean_rows(task, out, CleanSpec())
    assert found.page.read_text("utf-8") == whole.page.read_text("utf-8")
    assert {path.name for path in out.iterdir()} == {x.name for x in whole.page.parent.iterdir()}


def _killed(*args):
    raise KeyboardInterrupt


def test_a_disk_that_is_full_is_said_and_no_file_stays_open(tmp_path, monkeypatch):
    def full(self, note):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    task, out = task_of(tmp_path, rows(40)), tmp_path / "out"
    monkeypatch.setattr(Notes, "add", full)
    with pytest.raises(StorageError, match=r"cannot write .*out.*: No space left on device"):
        clean_rows(task, out, CleanSpec())
    gc.collect()  # what is left open is a warning, and so an error
    assert not (out / "cleaning.part").exists()


def test_two_runs_on_one_folder(tmp_path):
    task, out = task_of(tmp_path, rows(40)), tmp_path / "out"
    with (
        folder_lock(out / "cleaning.part", "cleaning"),
        pytest.raises(BusyError, match="another process is cleaning"),
    ):
        clean_rows(task, out, CleanSpec())


def test_every_pass_tells_how_far_it_is(tmp_path):
    told = Counter()
    task = task_of(tmp_path, rows(60))
    clean_rows(task, tmp_path / "out", CleanSpec(), progress=lambda name, n: told.update({name: n}))
    assert told == {"looked at": 62, "judged": 60, "written": 62}


def test_a_folder_that_cannot_be_made(tmp_path):
    task = task_of(tmp_path, rows(40))
    with pytest.raises(StorageError, match="cannot lock"):
        clean_rows(task, tmp_path / "train.jsonl" / "out", CleanSpec())


def test_no_training_rows(tmp_path):
    with pytest.raises(DataError, match="no training row that can be used; see: pretune check"):
        run(tmp_path, [{"text": "x", "label": "unknown"}])


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("lost card", "Latin"),
        ("卡丢了 help", "Han"),
        ("カードを失くした", "Kana"),
        ("карта", "Cyrillic"),
        ("12 %", "none"),
    ],
)
def test_scripts(text, script):
    assert script_of(text) == script


FRENCH = [
    f"Ma carte numéro {n} a été perdue hier soir dans le train entre Paris et Lyon"
    for n in range(99)
]


@pytest.mark.parametrize(("most", "odd"), [("rows", "FRENCH"), ("FRENCH", "rows")])
def test_rows_in_another_language_of_the_same_script(tmp_path, most, odd):
    texts = {"rows": [row["text"] for row in rows(99)], "FRENCH": FRENCH}
    base = [{"text": text, "label": "card"} for text in [*texts[most], *texts[odd][:1]]]
    _, removed, flagged = run(tmp_path, base, near=1.0)
    told = {row for row, one in {**removed, **flagged}.items() if "language" in one["flags"]}
    assert told == {"train.jsonl:100"}


def test_where_two_languages_are_usual_neither_is_told(tmp_path):
    texts = [*(row["text"] for row in rows(90)), *FRENCH[:10]]
    _, removed, flagged = run(tmp_path, [{"text": t, "label": "card"} for t in texts], near=1.0)
    assert not any("language" in one["flags"] for one in (*removed.values(), *flagged.values()))


def test_distance_from_the_median():
    assert list(far_off(np.asarray([1.0, 1.0, 1.0, 9.0]))) == [0, 0, 0, 0]
    far = far_off(np.asarray([1.0, 2.0, 3.0, 4.0, 100.0]))
    assert far[-1] == pytest.approx(97 / 1.4826)  # median 3, median deviation 1


def test_likeness_is_the_cosine_to_the_mean_of_the_others():
    found = likeness(["aa bb", "aa bb", "cc dd", "xx"], ["p", "p", "p", "q"])
    assert found[0] == pytest.approx(1 / np.sqrt(2))  # others: one the same, one orthogonal
    assert found[2] == found[3] == 0


def test_sentences_are_counted_once_a_row_in_bounded_memory(monkeypatch):
    from pretune.data.clean import boilerplate

    assert list(sentences("Dear customer of ours! 谢谢您的耐心等待。好的。")) == [
        "dear customer of ours!",
        "谢谢您的耐心等待。",
    ]
    monkeypatch.setattr(boilerplate, "_KEPT", 50)
    repeated = Repeated()
    for n in range(2000):
        often = "please think of the trees. " * 2 if n % 4 == 0 else ""
        repeated.add(f"{often}a sentence of its own {n}.")
        assert len(repeated._counts) <= 50
    common = repeated.common(0.1, 5)
    assert list(common) == ["please think of the trees."]
    assert 500 - 2500 / 50 <= common["please think of the trees."] <= 500
