"""The study: halving, queues, journals cut short, and the same choices in parts as in a piece."""

import errno

import pytest

from pretune.core.errors import StorageError
from pretune.search.study import FILE_NAME, Study
from search.test_space import make_space

pytest.importorskip("optuna")


def study_in(folder, rises=True):
    return Study(folder, higher_is_better=rises, seed=3)


def test_successive_halving_leaves_the_bad_behind(tmp_path):
    study, space = study_in(tmp_path), make_space()
    for value, hopeless in ((0.7, False), (0.6, True), (0.5, True), (0.8, False), (0.4, True)):
        asked = study.ask()
        asked.point(space)
        assert asked.hopeless([value]) is hopeless
        assert asked.hopeless([value]) is hopeless  # asked again after a kill
        asked.left() if hopeless else asked.finished(value)
    # The next halving is at the third measurement: one that got there sets the mark.
    first, second = study.ask(), study.ask()
    for asked in (first, second):
        asked.point(space)
        assert not asked.hopeless([0.9])
        assert not asked.hopeless([0.9, 0.9])
    assert not first.hopeless([0.9, 0.9, 0.95])
    assert second.hopeless([0.9, 0.9, 0.94])


def test_less_is_better_where_it_is(tmp_path):
    study, space = study_in(tmp_path, rises=False), make_space()
    first, second = study.ask(), study.ask()
    for asked in (first, second):
        asked.point(space)
    assert not first.hopeless([0.2])
    assert second.hopeless([0.3])


def test_in_parts_as_in_a_piece(tmp_path):
    space = make_space()

    def run(folder, parts):
        folder.mkdir()
        points = []
        for part in parts:
            study = study_in(folder)
            study.queue(space, [(space.own(), "own")])
            for number in study.running():
                points.append(study.take_up(number).point(space))
                study.take_up(number).finished(0.5 + 0.01 * number)
            for _ in range(part):
                asked = study.ask()
                points.append(asked.point(space))
                asked.finished(0.5 + 0.01 * asked.number)
            study.ask()  # left behind, as if killed
        return points

    whole, parts = run(tmp_path / "whole", [12]), run(tmp_path / "parts", [5, 3, 2])
    assert parts == whole[: len(parts)]
    assert len({str(point) for point in whole[1:]}) == 11


def test_a_line_cut_short_is_forgotten(tmp_path):
    study, space = study_in(tmp_path), make_space()
    study.ask().point(space)
    journal = tmp_path / FILE_NAME
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code": 4, "wor')
    again = study_in(tmp_path)
    assert again.running() == [0]
    again.ask()
    assert journal.read_bytes().startswith(whole)
    assert study_in(tmp_path).begun == 2


def test_a_full_disk_is_said_whatever_is_told(tmp_path, monkeypatch):
    from optuna.storages.journal import JournalFileBackend

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    study, space = study_in(tmp_path), make_space()
    asked = study.ask()
    asked.point(space)
    monkeypatch.setattr(JournalFileBackend, "append_logs", full)
    tell = (study.ask, lambda: asked.hopeless([0.5]), lambda: asked.finished(0.5), asked.left)
    for one in tell:
        with pytest.raises(StorageError, match=r'write ".*journal.jsonl": No space left on device'):
            one()


def test_a_journal_that_cannot_be_opened_is_said(tmp_path):
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(StorageError, match=r'cannot (read|write) ".*journal.jsonl"'):
        study_in(tmp_path)


def test_a_damaged_journal_is_said(tmp_path):
    study_in(tmp_path).ask()
    journal = tmp_path / FILE_NAME
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"no journal\n" + b"".join(lines))
    with pytest.raises(StorageError, match="is damaged"):
        study_in(tmp_path)
