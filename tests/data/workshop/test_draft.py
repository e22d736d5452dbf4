"""A killed step goes on: the bytes are those of an uninterrupted run, and nothing is half there."""

import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pretune
from data.workshop.cases_draft import Stopped, die_after
from pretune.core.errors import BusyError, SpecError, StorageError
from pretune.core.files import folder_lock
from pretune.data.workshop import draft as module
from pretune.data.workshop.draft import Draft, write_rows
from pretune.data.workshop.lineage import read_lineage
from pretune.data.workshop.step import Step

STEP = Step("count", "numbers", {"seed": 0}, {"in.jsonl": "ab"})


def numbers(total, stop_at=None):
    """Two rows to one file and one to the other, a unit each; dies before unit ``stop_at``."""

    def work(draft: Draft) -> None:
        for n in range(draft.units, total):
            if n == stop_at:
                draft.write("even", {"half": "done"})
                raise Stopped
            draft.write("even", {"n": 2 * n, "text": "é二\u2028"})
            draft.write("odd", {"n": 2 * n + 1})
            draft.count("units")
            draft.end_unit()

    return work


def files(folder):
    return {"even": folder / "even.jsonl", "odd": folder / "odd.jsonl"}


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("[!.]*"))}


def test_what_a_step_reads_is_not_replaced(tmp_path):
    source = files(tmp_path)["odd"]
    source.write_text("rows")
    (tmp_path / "other-name.jsonl").symlink_to(source)
    for name in (source, tmp_path / "other-name.jsonl"):
        step = Step("count", "numbers", {}, {}, [tmp_path / "gone.jsonl", name])
        with pytest.raises(SpecError, match=r'odd.jsonl" is a file to be read; name another'):
            write_rows(step, files(tmp_path), numbers(3), overwrite=True)
    assert source.read_text() == "rows"
    assert len(list(tmp_path.iterdir())) == 2


@settings(max_examples=25)
@given(total=st.integers(0, 40), stops=st.lists(st.integers(0, 39), max_size=4))
def test_interrupted_is_uninterrupted(tmp_path_factory, total, stops):
    whole, broken = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("broken")
    write_rows(STEP, files(whole), numbers(total))
    reached = 0
    for stop in sorted(stop for stop in stops if stop < total):
        with pytest.raises(Stopped):
            write_rows(STEP, files(broken), numbers(total, stop_at=stop))
        assert not (broken / "even.jsonl").exists()
        reached = stop
    done = write_rows(STEP, files(broken), numbers(total))
    assert done.resumed_at == reached
    assert done.counts == ({"units": total} if total else {})
    assert done.rows == {"even": total, "odd": total}
    assert content(broken) == content(whole)


SCRIPT = """
import sys, time
from pathlib import Path
from pretune.data.workshop import draft as module
from pretune.data.workshop.step import Step

module.CHECKPOINT_ROWS = 50
folder = Path(sys.argv[1])
def work(draft):
    for n in range(draft.units, 3000):
        draft.write("rows", {"n": n})
        draft.end_unit()
        if n > 500:
            time.sleep(0.002)
step = Step("count", "numbers", {}, {})
print(module.write_rows(step, {"rows": folder / "rows.jsonl"}, work).resumed_at)
"""


def test_kill_9_loses_no_more_than_a_checkpoint(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(pretune.__file__).parents[1])}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    running = subprocess.Popen(command, env=environment)
    journal = tmp_path / "rows.jsonl.part.json"
    until = time.monotonic() + 60
    while not (journal.exists() and json.loads(journal.read_text())["units"] >= 550):
        assert time.monotonic() < until
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (tmp_path / "rows.jsonl").exists()
    safe = json.loads(journal.read_text())["units"]
    again = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("0.002", "0"), str(tmp_path)],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(again.stdout) == safe
    expected = "".join(f'{{"n": {n}}}\n' for n in range(3000))
    assert (tmp_path / "rows.jsonl").read_text() == expected
    assert not list(tmp_path.glob("*.part*"))


def test_bytes_after_the_last_checkpoint_are_cut(tmp_path):
    with pytest.raises(Stopped):
        write_rows(STEP, files(tmp_path), numbers(9, stop_at=5))
    with (tmp_path / "even.jsonl.part").open("a") as part:
        part.write('{"half a li')
    write_rows(STEP, files(tmp_path), numbers(9))
    lines = (tmp_path / "even.jsonl").read_text("utf-8").strip().split("\n")
    assert [json.loads(line)["n"] for line in lines] == list(range(0, 18, 2))


@pytest.mark.parametrize("renamed", [0, 1, 2])
def test_death_while_the_parts_take_their_names(tmp_path, monkeypatch, renamed):
    die_after(monkeypatch, renamed)
    with pytest.raises(Stopped):
        write_rows(STEP, files(tmp_path), numbers(3))
    monkeypatch.undo()
    done = write_rows(STEP, files(tmp_path), numbers(0))  # nothing is left to do but to rename
    assert done.rows == {"even": 3, "odd": 3}
    assert len((tmp_path / "odd.jsonl").read_text().splitlines()) == 3
    assert len(read_lineage(tmp_path)) == 1


def test_the_lineage_says_what_was_done_once(tmp_path):
    write_rows(STEP, files(tmp_path), numbers(2))
    write_rows(STEP, files(tmp_path), numbers(3), overwrite=True)
    (line,) = read_lineage(tmp_path)
    assert line["step"] == "count"
    assert line["recipe"].startswith("numbers@")
    assert line["inputs"] == {"in.jsonl": "ab"}
    assert line["outputs"]["odd.jsonl"]["rows"] == 3
    assert line["counts"] == {"units": 3}


def test_what_is_there_is_not_replaced_unasked(tmp_path):
    write_rows(STEP, files(tmp_path), numbers(2))
    with pytest.raises(BusyError, match=r'even.jsonl" exists; name another with --out, or replace'):
        write_rows(STEP, files(tmp_path), numbers(2))


def test_work_begun_with_other_settings_is_not_gone_on_with(tmp_path):
    with pytest.raises(Stopped):
        write_rows(STEP, files(tmp_path), numbers(9, stop_at=5))
    other = Step("count", "numbers", {"seed": 1}, STEP.inputs)
    with pytest.raises(BusyError, match=r"begun with other settings or inputs; .* --overwrite"):
        write_rows(other, files(tmp_path), numbers(9))
    assert write_rows(other, files(tmp_path), numbers(9), overwrite=True).resumed_at == 0


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    write_rows(STEP, files(tmp_path), numbers(2))
    before = content(tmp_path)["even.jsonl"]
    with pytest.raises(Stopped):
        write_rows(STEP, files(tmp_path), numbers(9, stop_at=5), overwrite=True)
    assert content(tmp_path)["even.jsonl"] == before


def test_two_runs_on_one_folder(tmp_path):
    with folder_lock(tmp_path, "writing rows"), pytest.raises(BusyError, match="another process"):
        write_rows(STEP, files(tmp_path), numbers(2))


def test_a_full_disk_is_an_error_that_names_the_folder(tmp_path, monkeypatch):
    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(StorageError, match=r"cannot write .*No space left on device; free space"):
        write_rows(STEP, files(tmp_path), numbers(2))


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot lock"):
        write_rows(STEP, files(tmp_path / "file"), numbers(2))


def test_200000_rows_are_not_kept(tmp_path):
    def work(draft: Draft) -> None:
        for n in range(200_000):
            draft.write("rows", {"n": n})
            if n % 10 == 9:
                draft.end_unit()

    tracemalloc.start()
    write_rows(Step("count", "numbers", {}, {}), {"rows": tmp_path / "r.jsonl"}, work)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
