"""The steps: same bytes however often killed, atomic, and silent about what was found."""

import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

import pretune
from pretune.core.errors import BusyError, DataError, SpecError, UnknownName
from pretune.core.origin import KEY, RowKind, made, origin_of
from pretune.data.privacy import mask as module
from pretune.data.privacy.keyfile import make_key
from pretune.data.privacy.mask import mask_rows, private_types, unmask_rows
from pretune.data.privacy.pseudonyms import PSEUDONYM
from pretune.data.workshop.lineage import read_lineage


def rows(count):
    for n in range(count):
        yield {"text": f"My name is John Smith, call 138{n:08}, password: x{n}y", "n": n}


def write(path, some):
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in some)
    path.write_text("".join(lines), encoding="utf-8")
    return path


def read(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def content(row):
    return {name: value for name, value in row.items() if name != KEY}


def test_rows_are_masked_and_come_back(tmp_path):
    source = write(tmp_path / "rows.jsonl", rows(300))
    key = tmp_path / "keys" / "k"
    written = mask_rows(source, tmp_path / "masked.jsonl", key)
    assert written.counts == {"PERSON": 300, "PHONE": 300, "SECRET": 300}
    assert "John" not in (tmp_path / "masked.jsonl").read_text()
    back = unmask_rows(tmp_path / "masked.jsonl", tmp_path / "back.jsonl", key)
    assert back.counts == written.counts
    assert [content(row) for row in read(tmp_path / "back.jsonl")] == list(rows(300))


class Stopped(Exception):
    pass


def test_interrupted_is_uninterrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_BATCH", 32)
    source = write(tmp_path / "rows.jsonl", rows(200))
    key = tmp_path / "k"
    make_key(key)
    whole, broken = tmp_path / "whole" / "m.jsonl", tmp_path / "broken" / "m.jsonl"
    mask_rows(source, whole, key)

    def stop_after(limit):
        seen = 0

        def progress(count):
            nonlocal seen
            seen += count
            if seen > limit:
                raise Stopped

        return progress

    for limit in (40, 150):
        with pytest.raises(Stopped):
            mask_rows(source, broken, key, progress=stop_after(limit))
        assert not broken.exists()
    done = mask_rows(source, broken, key)
    assert done.resumed_at == 4
    for name in ("m.jsonl", "lineage.jsonl"):
        assert (broken.parent / name).read_bytes() == (whole.parent / name).read_bytes()


SCRIPT = """
import sys
from pathlib import Path
from pretune.data.privacy.mask import mask_rows
from pretune.data.workshop import draft

draft.CHECKPOINT_ROWS = 256
mask_rows(*map(Path, sys.argv[1:4]))
"""


def test_kill_9_leaves_no_pseudonym_that_the_vault_does_not_hold(tmp_path):
    source = write(tmp_path / "rows.jsonl", rows(5000))
    key, out = tmp_path / "k", tmp_path / "out" / "m.jsonl"
    make_key(key)
    environment = {**os.environ, "PYTHONPATH": str(Path(pretune.__file__).parents[1])}
    command = [sys.executable, "-c", SCRIPT, str(source), str(out), str(key)]
    running = subprocess.Popen(command, env=environment)
    part, until = out.with_name("m.jsonl.part"), time.monotonic() + 60
    while not (part.exists() and part.stat().st_size):
        assert time.monotonic() < until
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not out.exists()
    saved = part.read_text("utf-8")
    lines = saved[: saved.rindex("\n")].split("\n")  # buffers are written where they end
    write(tmp_path / "saved.jsonl", map(json.loads, lines))
    back = unmask_rows(tmp_path / "saved.jsonl", tmp_path / "back.jsonl", key)
    assert back.rows["rows"] == len(lines)
    assert set(back.counts) == {"PERSON", "PHONE", "SECRET"}  # none unknown


def test_memory_does_not_grow_with_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr("pretune.data.privacy.masker._REMEMBERED", 16)
    monkeypatch.setattr(module, "_BATCH", 8)
    key = tmp_path / "k"

    def peak(count):
        source = write(tmp_path / f"{count}.jsonl", rows(count))
        tracemalloc.start()
        mask_rows(source, tmp_path / f"m{count}.jsonl", key)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(241)  # what is read once
    assert peak(240) < peak(80) + 60_000  # 400 bytes a row would be too much


def test_ids_agree_as_before_and_no_digest_of_a_row_is_left(tmp_path):
    parent = {"text": "I am John Smith"}
    child = made({"text": "I'm John Smith"}, RowKind.AUGMENTED, "a", "r@1", origin_of(parent))
    source = write(tmp_path / "rows.jsonl", [parent, child])
    mask_rows(source, tmp_path / "m.jsonl", tmp_path / "k")
    one, two = (origin_of(row) for row in read(tmp_path / "m.jsonl"))
    assert two.parent == two.root == one.id == one.root != origin_of(parent).id
    assert (one.kind, two.kind, two.step) == (RowKind.SEED, RowKind.AUGMENTED, "a")
    (line,) = read_lineage(tmp_path)
    assert line["step"] == "mask"
    assert line["counts"] == {"PERSON": 2}
    told = (tmp_path / "lineage.jsonl").read_text() + (tmp_path / "m.jsonl").read_text()
    for plain in (origin_of(parent).id, origin_of(child).id, module.file_digests([source])):
        assert str(plain) not in told
    assert module.file_digests([source])["rows.jsonl"] not in told


def test_types_can_be_chosen(tmp_path):
    source = write(tmp_path / "rows.jsonl", rows(3))
    mask_rows(source, tmp_path / "m.jsonl", tmp_path / "k", types=private_types(["phone"]))
    assert "John Smith" in (tmp_path / "m.jsonl").read_text()
    with pytest.raises(UnknownName, match='unknown type "phon"; did you mean "phone"'):
        private_types(["phon"])


def test_rows_whose_spans_are_lost_are_left_out_and_counted(tmp_path):
    bad = {"text": "mail a@b.com", "marks": [{"start": 0, "end": 4}]}
    source = write(tmp_path / "rows.jsonl", [bad, {"text": "fine"}])
    written = mask_rows(source, tmp_path / "m.jsonl", tmp_path / "k")
    assert written.rows["rows"] == 1
    assert written.counts == {
        'left out: spans in "marks" fit no text; name it with --spans': 1,
    }
    told = mask_rows(source, tmp_path / "t.jsonl", tmp_path / "k", homes={"marks": "text"})
    assert told.rows["rows"] == 2


def test_a_table_of_bytes_and_floats_hides_as_much_as_one_of_texts(tmp_path):
    import pyarrow
    from pyarrow import parquet

    given = [
        {"note": b"call John Smith 13812345678", "phone": 13812345678.0},
        {"note": b"\xffJohn Smith", "phone": None},
    ]
    parquet.write_table(pyarrow.Table.from_pylist(given), tmp_path / "rows.parquet")
    written = mask_rows(tmp_path / "rows.parquet", tmp_path / "m.jsonl", tmp_path / "k")
    assert written.counts == {
        "PERSON": 1,
        "PHONE": 2,
        'left out: bytes in "note" are no UTF-8 text; remove the column': 1,
    }
    (row,) = map(content, read(tmp_path / "m.jsonl"))
    person, phone = (match[0] for match in PSEUDONYM.finditer(row["note"]))
    assert row == {"note": f"call {person} {phone}", "phone": phone}


def test_bad_lines_are_counted_and_a_file_of_nothing_else_is_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"text": "a@b.com"}\n\xff\xfe\x00\n{oops\n[1]\n' + b"\x00" * 50 + b"\n")
    written = mask_rows(path, tmp_path / "m.jsonl", tmp_path / "k")
    assert written.rows["rows"] == 1
    assert written.counts["EMAIL"] == 1
    assert sum(n for what, n in written.counts.items() if what.startswith("not read")) == 4
    path.write_bytes(b"\x00\xff" * 1000)
    with pytest.raises(DataError, match="holds no rows that could be read"):
        mask_rows(path, tmp_path / "n.jsonl", tmp_path / "k")


def test_a_huge_field(tmp_path):
    text = "nothing here to see, " * 5_000 + "a@b.com"
    source = write(tmp_path / "rows.jsonl", [{"text": text}])
    mask_rows(source, tmp_path / "m.jsonl", tmp_path / "k")
    (row,) = read(tmp_path / "m.jsonl")
    assert len(row["text"]) == len(text) - len("a@b.com") + len("[EMAIL_0123456789]")


def test_another_key_opens_nothing(tmp_path):
    source = write(tmp_path / "rows.jsonl", rows(3))
    mask_rows(source, tmp_path / "m.jsonl", tmp_path / "k")
    make_key(tmp_path / "other")
    with pytest.raises(DataError, match="no vault"):
        unmask_rows(tmp_path / "m.jsonl", tmp_path / "u.jsonl", tmp_path / "other")
    os.replace(tmp_path / "k.vault", tmp_path / "other.vault")
    with pytest.raises(DataError, match="sealed with another key"):
        unmask_rows(tmp_path / "m.jsonl", tmp_path / "u.jsonl", tmp_path / "other")
    assert not (tmp_path / "u.jsonl").exists()


def test_files_that_exist_are_not_replaced_unasked(tmp_path):
    source = write(tmp_path / "rows.jsonl", rows(3))
    mask_rows(source, tmp_path / "m.jsonl", tmp_path / "k")
    with pytest.raises(BusyError, match="exists; name another"):
        mask_rows(source, tmp_path / "m.jsonl", tmp_path / "k")
    with pytest.raises(SpecError, match="is a file to be read"):
        mask_rows(source, source, tmp_path / "k", overwrite=True)
