"""Killed, failing and full at every point: nothing acknowledged is lost, nothing is half there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pretune.core.errors import StorageError
from registry.cases import filled

TESTS = Path(__file__).parents[1]


def nursery(*arguments: object) -> int:
    """The number that ``nursery.py`` counted."""
    path = os.pathsep.join([str(TESTS), *filter(None, sys.path)])
    ran = subprocess.run(
        [sys.executable, TESTS / "registry" / "nursery.py", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert ran.returncode == 0, ran.stderr
    return int(ran.stdout)


def test_kill_9_in_a_loop_loses_nothing(tmp_path):
    assert nursery("kill", tmp_path, 60) > 60


def test_death_and_fault_at_every_file_operation(tmp_path):
    assert nursery("every", tmp_path) > 150


@pytest.mark.parametrize("call", ["os.fsync", "os.replace", "pathlib.Path.write_bytes"])
def test_a_full_disk_changes_nothing(tmp_path, monkeypatch, call):
    registry, (first, second, _) = filled(tmp_path)
    registry.promote("desk", first.digest)
    before = registry.task("desk")

    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(call, full)
        with pytest.raises(StorageError, match="No space left on device; free space"):
            registry.promote("desk", second.digest)
    assert registry.task("desk") == before
    assert not list(registry.files.leftovers())
    assert registry.promote("desk", second.digest).current == second.digest
