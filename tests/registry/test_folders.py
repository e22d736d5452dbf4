"""Folders that are replaced whole, whatever the system refuses on the way."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pretune.core.errors import StorageError
from pretune.core.files import folder_atomic


def contents(path: Path) -> dict[str, str]:
    return {item.name: item.read_text() for item in path.iterdir()}


def replace(path: Path) -> None:
    with folder_atomic(path) as draft:
        (draft / "new").write_text("new")


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / "place" / "folder"
    path.mkdir(parents=True)
    (path / "old").write_text("old")
    return path


def fail_at(monkeypatch, number: int, error: BaseException) -> None:
    """The rename ``number`` raises; those after it work."""
    real, count = os.replace, 0

    def replaced(source, target):
        nonlocal count
        count += 1
        if count == number:
            raise error
        real(source, target)

    monkeypatch.setattr(os, "replace", replaced)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_the_old_folder_is_put_back_where_a_rename_fails(folder, monkeypatch, number, error):
    fail_at(monkeypatch, number, error)
    kind = StorageError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(kind):
        replace(folder)
    assert contents(folder) == {"old": "old"}
    assert [item.name for item in folder.parent.iterdir()] == ["folder"], "something is left"
    replace(folder)
    assert contents(folder) == {"new": "new"}


def test_where_it_cannot_be_put_back_the_old_folder_is_kept_and_told(folder, monkeypatch):
    real, count = os.replace, 0

    def replaced(source, target):
        nonlocal count
        count += 1
        if count > 1:
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr(os, "replace", replaced)
    with pytest.raises(StorageError, match=r"Input/output error.*what it held is in") as caught:
        replace(folder)
    (kept,) = folder.parent.iterdir()
    assert contents(kept / "folder") == {"old": "old"}
    assert str(kept / "folder") in str(caught.value)


def test_once_replaced_it_is_replaced_though_the_old_one_cannot_be_removed(folder, monkeypatch):
    def refuse(_path, *_more, ignore_errors=False, **_others):
        if not ignore_errors:
            raise OSError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refuse)
        replace(folder)
    assert contents(folder) == {"new": "new"}


def test_what_a_kill_between_the_renames_left_goes_with_the_next_write(folder):
    """Both folders have hidden names then; the old one went nowhere by itself."""
    others = (".folder.old.q1w2e3r4", ".folder.x.q1w2e3r4.old", ".other.q1w2e3r4.old")
    for name in others:  # drafts and leftovers of other places
        (folder.parent / name).mkdir()
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from pretune.core.files import folder_atomic\n"
        "real, count = os.replace, 0\n"
        "def replace(*paths):\n"
        "    global count\n"
        "    count += 1\n"
        "    if count == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    real(*paths)\n"
        "os.replace = replace\n"
        "with folder_atomic(Path(sys.argv[1])): pass\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(folder)], check=False)
    assert ran.returncode == -signal.SIGKILL
    assert not folder.exists()
    assert len(list(folder.parent.glob(".folder.*/folder/old"))) == 1
    replace(folder)
    assert contents(folder) == {"new": "new"}
    assert not list(folder.parent.glob(".folder.*/folder/old"))
    assert {item.name for item in folder.parent.iterdir()} >= set(others)


def test_a_block_that_fails_changes_nothing(folder):
    def broken() -> None:
        with folder_atomic(folder) as draft:
            (draft / "new").write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert contents(folder) == {"old": "old"}
    assert [item.name for item in folder.parent.iterdir()] == ["folder"]


def test_all_of_it_lasts_before_it_is_there(folder, monkeypatch):
    """Files and folders are synced before the rename, the names of the parent after it."""
    real_sync, real_replace, done = os.fsync, os.replace, []

    def synced(handle):
        done.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        real_sync(handle)

    def replaced(source, target):
        done.append("rename")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    replace(folder)
    before, after = done[: done.index("rename")], done[done.index("rename") :]
    assert "new" in before
    assert any(name.startswith(".folder.") for name in before)
    assert after == ["rename", "rename", "place"]
