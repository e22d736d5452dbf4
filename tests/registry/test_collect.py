"""Collection: what nobody needs goes, what anybody uses stays."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pretune.core.errors import StorageError
from pretune.registry import Registry
from pretune.registry.collect import collect
from pretune.registry.pins import Pin
from registry.cases import filled, make

TESTS = Path(__file__).parents[1]


def held(registry: Registry, *digests: str) -> Pin:
    with registry.locked():
        pin = Pin(registry.files.pins)
        pin.hold(digests)
    return pin


def test_what_a_task_may_need_stays(tmp_path):
    registry, made = filled(tmp_path, count=7)
    digests = [one.digest for one in made]
    for one in made[:3]:
        registry.promote("desk", one.digest)
    registry.canary("desk", digests[0])
    registry.shadow("desk", digests[4])
    assert collect(registry) == ((), (), 0)  # 0 canary, 1 previous, 2 current, 3.. newer
    registry.promote("desk", digests[5])
    gone = collect(registry)
    assert set(gone.versions) == {digests[1], digests[3]}
    assert set(gone.adapters) == {made[1].version.adapter, made[3].version.adapter}
    state = registry.task("desk")
    here = [digests[i] for i in (0, 2, 4, 5, 6)]
    assert registry.versions(state) == here
    assert registry.roll_back("desk").current == digests[2]


def test_a_roll_back_to_what_was_removed_is_refused(tmp_path):
    registry, made = filled(tmp_path, count=3)
    for one in made:
        registry.promote("desk", one.digest)
    collect(registry)
    registry.roll_back("desk")
    with pytest.raises(LookupError, match="unknown version"):
        registry.roll_back("desk")
    registry.add(made[0].version, made[0].folder)
    assert registry.roll_back("desk").current == made[0].digest


def test_an_adapter_of_two_versions_stays_for_the_other(tmp_path):
    registry, (first, second, _) = filled(tmp_path)
    twin = make(tmp_path / "made", "desk", 0, accuracy=0.7)
    registry.add(twin.version, twin.folder)
    for digest in (first.digest, second.digest, twin.digest):
        registry.promote("desk", digest)
    assert first.digest in collect(registry).versions
    assert registry.files.adapter_whole(twin.version.adapter)


def test_a_link_in_the_place_of_an_adapter_goes_and_what_it_leads_to_stays(tmp_path):
    registry, (one, *_) = filled(tmp_path, count=1)
    folder = registry.adapter_folder(one.version)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    left = folder.with_name(".left")
    left.symlink_to(tmp_path / "elsewhere")
    registry.remove("desk")
    assert collect(registry) == ((one.digest,), (one.version.adapter,), 1)
    assert not folder.is_symlink()
    assert not left.is_symlink()
    assert list((tmp_path / "elsewhere").iterdir())


def test_what_a_living_process_uses_stays_and_what_a_dead_one_used_goes(tmp_path):
    registry, (first, *rest) = filled(tmp_path)
    for one in (first, *rest):
        registry.promote("desk", one.digest)
    code = (
        "import sys; from pretune.registry import Registry\n"
        "from pretune.registry.pins import Pin\n"
        "registry = Registry(sys.argv[1])\n"
        "with registry.locked():\n"
        "    pin = Pin(registry.files.pins); pin.hold([sys.argv[2]])\n"
        "print('held', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(registry.files.root), first.digest]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert collect(registry) == ((), (), 0)
        process.send_signal(signal.SIGKILL)
    assert collect(registry).versions == (first.digest,)
    assert not list(registry.files.pins.iterdir())


def test_pins_change_and_end(tmp_path):
    registry, made = filled(tmp_path, count=4)
    for one in made:
        registry.promote("desk", one.digest)
    pin = held(registry, made[0].digest, made[1].digest)
    other = held(registry, made[1].digest)
    assert collect(registry).versions == ()
    pin.hold([made[0].digest])
    other.release()
    assert collect(registry).versions == (made[1].digest,)
    pin.release()
    assert collect(registry).versions == (made[0].digest,)


def test_a_server_that_ends_during_a_collection_does_not_stop_it(tmp_path, monkeypatch):
    registry, made = filled(tmp_path)
    for one in made:
        registry.promote("desk", one.digest)
    pin = held(registry, made[0].digest)
    (listed,) = registry.files.pins.glob("*.json")

    def read(path, real=Path.read_bytes):
        if path == listed:
            pin.release()
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read)
    assert collect(registry).versions == (made[0].digest,)


def test_what_cannot_be_read_stops_the_collection(tmp_path):
    registry, made = filled(tmp_path)
    for one in made:
        registry.promote("desk", one.digest)
    pin = held(registry, made[0].digest)
    (listed,) = registry.files.pins.glob("*.json")
    listed.write_text("[")
    with pytest.raises(StorageError, match="is damaged; restart the server that wrote it"):
        collect(registry)
    pin.release()
    record = registry.files.version_file(made[2].digest)
    record.write_text("{}")
    with pytest.raises(StorageError, match="is damaged; add its run again"):
        collect(registry)
    assert len(registry.files.version_names()) == 3
