"""What a kill cannot show: the order in which things reach the disk, and who must wait for whom."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pretune.core.errors import BusyError
from pretune.registry import Registry, Version
from pretune.registry.collect import collect
from pretune.registry.state import place
from registry.cases import filled, make


@contextmanager
def traced(root: Path) -> Iterator[list[tuple[str, str]]]:
    """Syncs, renames and removals below ``root``, by paths from there; drafts by their place."""
    done: list[tuple[str, str]] = []

    def shown(path: object) -> str:
        inner = Path(str(path)).relative_to(root)
        return "/".join("DRAFT" if part.startswith(".") else part for part in inner.parts) or "."

    def note(what: str, path: object) -> None:
        if str(path).startswith(str(root)):
            done.append((what, shown(path)))

    def synced(handle: int, real=os.fsync) -> None:
        note("sync", os.readlink(f"/proc/self/fd/{handle}"))
        real(handle)

    def replaced(source, target, real=os.replace) -> None:
        note("rename", target)
        real(source, target)

    def renamed(source, target, real=os.rename) -> None:
        note("aside", source)
        real(source, target)

    def unlinked(path, real=os.unlink, **more) -> None:
        note("unlink", path)
        real(path, **more)

    def emptied(path, *more, real=shutil.rmtree, **others) -> None:
        if Path(path).exists():
            note("empty", path)
        real(path, *more, **others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", synced)
        patch.setattr(os, "replace", replaced)
        patch.setattr(Path, "rename", lambda path, to: renamed(path, to))
        patch.setattr(Path, "unlink", lambda path, missing_ok=False: unlinked(path))
        patch.setattr(shutil, "rmtree", emptied)
        yield done


def test_a_state_is_on_disk_before_it_counts_and_its_name_after(tmp_path):
    registry, (first, *_) = filled(tmp_path)
    with traced(registry.files.root) as done:
        registry.promote("desk", first.digest)
    assert done == [
        ("sync", "tasks/DRAFT"),
        ("rename", "tasks/desk.json"),
        ("sync", "tasks"),
    ]


def test_whatever_is_named_is_on_disk_before_what_names_it(tmp_path):
    registry, _ = filled(tmp_path)
    new = make(tmp_path / "made", "desk", 9)
    with traced(registry.files.root) as done:
        registry.add(new.version, new.folder)
    renamed = [path for what, path in done if what == "rename"]
    adapter = f"adapters/{new.version.adapter}"
    record, state = f"versions/{new.digest}.json", "tasks/desk.json"
    assert renamed == [adapter, record, state]
    for path in renamed:
        at = done.index(("rename", path))
        assert ("sync", str(Path(path).parent)) == done[at + 1]
        assert done[at - 1] == ("sync", f"{Path(path).parent}/DRAFT")
    synced = [path for what, path in done[: done.index(("rename", adapter))] if what == "sync"]
    files = {path.name for path in registry.adapter_folder(new.version).iterdir()}
    assert {Path(path).name for path in synced} >= files


def test_what_goes_is_gone_at_once_and_for_good(tmp_path):
    registry, made = filled(tmp_path)
    for one in made:
        registry.promote("desk", one.digest)
    adapter = f"adapters/{made[0].version.adapter}"
    with traced(registry.files.root) as done:
        assert collect(registry).versions == (made[0].digest,)
    record = done.index(("unlink", f"versions/{made[0].digest}.json"))
    aside = done.index(("aside", adapter))
    assert done[record + 1] == ("sync", "versions")
    assert done[aside + 1 : aside + 3] == [("sync", "adapters"), ("empty", "adapters/DRAFT")]
    assert record < aside, "a record would name an adapter that is not there"
    with traced(registry.files.root) as done:
        registry.remove("desk")
    assert done == [("unlink", "tasks/desk.json"), ("sync", "tasks")]


def test_every_writer_waits_for_the_others(tmp_path, monkeypatch):
    registry, (first, second, _) = filled(tmp_path)
    registry.promote("desk", first.digest)
    registry.promote("desk", second.digest)
    new = make(tmp_path / "made", "desk", 9)
    other = Registry(registry.files.root)
    monkeypatch.setattr("pretune.registry.store.LOCK_SECONDS", 0.01)
    before = registry.task("desk")
    writers = [
        lambda: other.add(new.version, new.folder),
        lambda: other.promote("desk", first.digest),
        lambda: other.roll_back("desk"),
        lambda: other.canary("desk", first.digest),
        lambda: other.shadow("desk", first.digest),
        lambda: other.remove("desk"),
        lambda: collect(other),
    ]
    with registry.locked():
        for writer in writers:
            with pytest.raises(BusyError, match="is changing the registry"):
                writer()
    assert registry.task("desk") == before
    assert new.version.adapter not in registry.files.adapter_names()


def test_the_signature_tells_every_change_and_nothing_else(tmp_path):
    registry, (first, second, _) = filled(tmp_path)
    seen = [registry.signature()]

    def changed() -> bool:
        seen.append(registry.signature())
        return seen[-1] not in seen[:-1]

    registry.promote("desk", first.digest)
    assert changed()
    registry.promote("desk", first.digest)
    assert not changed(), "nothing has happened"
    path = registry.files.task_file("desk")
    times, text = path.stat(), path.read_text()
    draft = path.with_name("draft")
    draft.write_text(text.replace(first.digest, second.digest))
    os.utime(draft, ns=(times.st_atime_ns, times.st_mtime_ns))
    draft.replace(path)
    assert changed(), "another file of the same size and time"
    registry.files.remove(registry.files.version_file(second.digest))
    assert changed(), "the record of a version went"
    registry.files.write_version(second.version)
    assert changed(), "and came"
    registry.remove("desk")
    assert changed()


@pytest.mark.parametrize("field", ["adapter", "base", "data", "trained_spec"])
def test_where_a_version_comes_from_is_part_of_what_it_is(tmp_path, field):
    one = make(tmp_path, "desk", 1)
    other = Version(**one.version.model_dump() | {field: "c" * 64})
    assert other.digest != one.digest
    measured = Version(**one.version.model_dump() | {"validation": {"accuracy": 0.5}})
    assert measured.digest not in (one.digest, other.digest)


def test_canaries_of_different_tasks_choose_different_requests():
    keys = [f"request {i}" for i in range(2000)]
    chosen = [
        {key for key in keys if place(task, "a" * 64, key) < 0.1} for task in ("desk", "counter")
    ]
    assert len(chosen[0] & chosen[1]) < min(map(len, chosen)) / 2
