"""Versions of tasks: what each operation does, refuses, and says."""

import json
import shutil
import threading
from pathlib import Path

import pytest

from pretune.adapters.manifest import WEIGHTS
from pretune.core.digest import of_json
from pretune.core.errors import (
    AdapterError,
    BusyError,
    SpecError,
    StorageError,
    UnknownName,
)
from pretune.core.promise import Promise
from pretune.registry import Registry, Version, is_registry
from pretune.registry.author import Author
from pretune.registry.collect import collect
from pretune.registry.describe import describe, summary
from pretune.registry.state import Change, Entry, TaskState, place
from registry.cases import filled, make


def test_a_version_is_added_promoted_and_rolled_back(tmp_path):
    registry, (first, second, third) = filled(tmp_path)
    assert registry.task("desk").current is None
    for one in (first, second, third):
        registry.promote("desk", one.digest[:12])
    state = registry.task("desk")
    assert (state.current, state.previous) == (third.digest, second.digest)
    assert registry.roll_back("desk").current == second.digest
    assert registry.roll_back("desk").current == first.digest
    with pytest.raises(SpecError, match='task "desk" has no version before the current one'):
        registry.roll_back("desk")
    # What follows a roll back is a promotion of its own: its way back is to what answered before.
    registry.promote("desk", third.digest)
    assert registry.roll_back("desk").current == first.digest


def test_history_says_what_happened_when_by_whom_and_why(tmp_path):
    registry, (first, second, _) = filled(tmp_path)
    registry.promote("desk", first.digest, Author("ann", "first one"))
    registry.promote("desk", second.digest, Author("bob"))
    registry.roll_back("desk", Author("ann", "worse on Mondays"))
    told = [(one.what, one.by, one.why) for one in registry.task("desk").history[3:]]
    assert told == [
        ("promote", "ann", "first one"),
        ("promote", "bob", ""),
        ("roll back", "ann", "worse on Mondays"),
    ]
    assert registry.task("desk").history[-1].at.endswith("+00:00")


def test_what_is_done_again_changes_nothing(tmp_path):
    registry, (first, *_) = filled(tmp_path)
    once = registry.promote("desk", first.digest)
    assert registry.promote("desk", first.digest) == once
    assert registry.add(first.version, first.folder) == once
    assert registry.canary("desk", None) == once
    assert registry.shadow("desk", None) == once


def test_a_version_is_its_adapter_spec_and_measurements(tmp_path):
    one = make(tmp_path, "desk", 1)
    assert make(tmp_path / "elsewhere", "desk", 1).digest == one.digest
    moved = Version(**one.version.model_dump() | {"run": "other", "created": "later"})
    assert moved.digest == one.digest
    others = [
        make(tmp_path, "desk", 2),
        make(tmp_path, "counter", 1),
        make(tmp_path, "desk", 1, accuracy=0.8),
        make(tmp_path, "desk", 1, labels=["low", "higher"]),
    ]
    assert len({one.digest, *(other.digest for other in others)}) == 5


def test_prefixes(tmp_path):
    registry, (first, *_) = filled(tmp_path, count=20)
    state = registry.task("desk")
    assert registry.find(state, first.digest[:12]) == first.digest
    starts = [digest[0] for digest in state.added]
    twice = next(start for start in starts if starts.count(start) > 1)  # 20 digests, 16 digits
    with pytest.raises(SpecError, match=f'"{twice}" begins several versions: .*give more of it'):
        registry.find(state, twice)
    for wrong in ("", "xyz", "../../etc", first.digest + "0", first.digest[20:40]):
        with pytest.raises(
            UnknownName, match=f'unknown version "{wrong[:64]}".*{first.digest[:12]}'
        ):
            registry.find(state, wrong)


def test_canary_and_shadow_stand_beside_the_current_version(tmp_path):
    registry, (first, second, third) = filled(tmp_path)
    for change in (registry.canary, registry.shadow):
        with pytest.raises(SpecError, match="has no current version; promote one first"):
            change("desk", second.digest)
    registry.promote("desk", first.digest)
    with pytest.raises(SpecError, match="is the current one; a canary is another one"):
        registry.canary("desk", first.digest)
    for share in (0, 1, -1, 2, float("nan")):
        with pytest.raises(SpecError, match="is not between 0 and 1; for all, promote it"):
            registry.canary("desk", second.digest, share)
    registry.canary("desk", second.digest, 0.25)
    state = registry.shadow("desk", third.digest)
    assert (state.canary, state.shadow) == ((second.digest, 0.25), third.digest)
    # What becomes the current version ends being either; the other goes on.
    state = registry.promote("desk", second.digest)
    assert (state.canary, state.shadow) == (None, third.digest)
    assert registry.shadow("desk", None).shadow is None


def test_a_canarys_share_is_kept_and_its_requests_stay():
    version, keys = "a" * 64, [f"request {i}" for i in range(20_000)]
    small = {key for key in keys if place("desk", version, key) < 0.1}
    large = {key for key in keys if place("desk", version, key) < 0.3}
    # 20,000 draws of 0.1: a standard deviation of 0.0021.
    assert abs(len(small) / len(keys) - 0.1) < 0.01
    assert small < large
    other = {key for key in keys if place("desk", "b" * 64, key) < 0.1}
    assert len(small & other) < len(small) / 2


@pytest.mark.parametrize(
    "name", ["../desk", "desk/..", "/etc/passwd", "", ".", "..", "a\n", "é/", "x" * 65]
)
def test_names_lead_nowhere(tmp_path, name):
    registry, _ = filled(tmp_path)
    (tmp_path / "desk.json").write_text("{}")
    for ask in (
        registry.task,
        registry.remove,
        registry.roll_back,
        lambda n: registry.promote(n, "a"),
    ):
        with pytest.raises(UnknownName, match=r"(?s)unknown task .*known: desk"):
            ask(name)


def test_a_folder_is_a_registry_by_its_marker(tmp_path):
    with pytest.raises(StorageError, match=r"is no registry .*pretune tasks add RUN --registry"):
        Registry(tmp_path)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "file").write_text("x")
    with pytest.raises(BusyError, match="holds other work and is no registry; name a new folder"):
        Registry.create(tmp_path / "work")
    registry = Registry.create(tmp_path / "new")
    assert is_registry(tmp_path / "new")
    assert Registry.create(tmp_path / "new").names() == registry.names() == []
    (tmp_path / "new" / "registry.json").write_text('{"format": 2}')
    with pytest.raises(StorageError, match="has format 2, this version reads 1; update pretune"):
        Registry(tmp_path / "new")
    (tmp_path / "new" / "registry.json").write_text("{")
    with pytest.raises(StorageError, match="is damaged; restore it from a backup"):
        Registry(tmp_path / "new")


def test_a_damaged_adapter_is_not_promoted_and_added_again_it_is_whole(tmp_path):
    registry, (first, second, _) = filled(tmp_path)
    registry.promote("desk", first.digest)
    weights = registry.adapter_folder(second.version) / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1])
    for change in (registry.promote, registry.canary, registry.shadow):
        with pytest.raises(AdapterError, match=r"is damaged; add its run again"):
            change("desk", second.digest)
    registry.add(second.version, second.folder)
    assert registry.promote("desk", second.digest).current == second.digest


def test_a_damaged_source_is_not_added(tmp_path):
    registry, _ = filled(tmp_path)
    bad = make(tmp_path, "desk", 9)
    (bad.folder / WEIGHTS).write_bytes(b"other")
    with pytest.raises(AdapterError, match="its content does not match the manifest"):
        registry.add(bad.version, bad.folder)
    with pytest.raises(AdapterError, match="holds adapter"):
        registry.add(bad.version, make(tmp_path, "desk", 8).folder)
    assert len(registry.versions(registry.task("desk"))) == 3
    assert not list(registry.files.leftovers())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"what": "promote"', '"what": "demote"'),
        ('"what": "promote"', '"what": "roll back"'),
        ('"what": "add"', '"what": "shadow"'),
        ('"task": "desk"', '"task": "counter"'),
        ('"task"', '"tusk"'),
        ("{", ""),
    ],
)
def test_a_damaged_state_is_refused_and_the_other_tasks_go_on(tmp_path, old, new):
    registry, (first, *_) = filled(tmp_path)
    other = make(tmp_path, "counter", 1)
    registry.add(other.version, other.folder)
    registry.promote("desk", first.digest)
    path = registry.files.task_file("desk")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(StorageError, match=r'desk.json" is damaged; restore it from a backup, or'):
        registry.task("desk")
    assert "is damaged" in summary(registry, "desk")["problem"]
    assert registry.promote("counter", other.digest).current == other.digest
    with pytest.raises(StorageError, match="is damaged"):
        collect(registry)
    assert len(registry.files.version_names()) == 4


def test_an_altered_record_is_refused(tmp_path):
    registry, (first, *_) = filled(tmp_path)
    path = registry.files.version_file(first.digest)
    path.write_text(path.read_text().replace('"low"', '"lower"'))
    with pytest.raises(StorageError, match="is damaged; add its run again"):
        registry.promote("desk", first.digest)
    assert "is damaged" in describe(Registry(registry.files.root), "desk")["versions"][0]["problem"]
    registry.add(first.version, first.folder)
    assert registry.promote("desk", first.digest).current == first.digest


@pytest.mark.parametrize("altered", ['"templatte"', '"of_a_later_version": 1, "template"'])
def test_a_record_whose_spec_means_nothing_is_refused_like_any_damaged_one(tmp_path, altered):
    registry, (first, *_) = filled(tmp_path)
    path = registry.files.version_file(first.digest)
    path.write_text(path.read_text().replace('"template"', altered, 1))
    with pytest.raises(StorageError, match="is damaged, or of a later version of pretune"):
        registry.promote("desk", first.digest)
    with pytest.raises(StorageError, match="add its run again, or update pretune"):
        collect(registry)
    registry.add(first.version, first.folder)
    assert registry.promote("desk", first.digest).current == first.digest


def test_a_name_that_differs_in_case_alone_is_taken_and_not_damaged(tmp_path):
    """Such disks open the one file under either name; here it lies under both."""
    registry, _ = filled(tmp_path)
    other = make(tmp_path / "made", "Desk", 1)
    shutil.copyfile(registry.files.task_file("desk"), registry.files.task_file("Desk"))
    for ask in (lambda: registry.task("Desk"), lambda: registry.add(other.version, other.folder)):
        with pytest.raises(
            StorageError, match=r'of task "desk", so no other .*"Desk" here; choose'
        ):
            ask()
    assert registry.task("desk").task == "desk"


def test_a_removed_task_is_gone_and_may_come_back(tmp_path):
    registry, (first, *_) = filled(tmp_path)
    registry.promote("desk", first.digest)
    registry.remove("desk")
    with pytest.raises(UnknownName, match='unknown task "desk"'):
        registry.task("desk")
    assert registry.add(first.version, first.folder).current is None
    assert len(collect(registry).versions) == 2


def test_lineage_is_told(tmp_path):
    registry, (first, *_) = filled(tmp_path)
    registry.promote("desk", first.digest)
    told = json.loads(json.dumps(describe(registry, "desk")))
    assert told["current"] == first.digest
    lineage = told["versions"][0]
    assert lineage["version"] == first.digest
    assert lineage["adapter"] == first.version.adapter
    assert lineage["base"] == "b" * 64
    assert lineage["metrics"]["accuracy"]["value"] == 0.9
    assert lineage["run"] == "runs/desk-0"
    assert "privacy" not in lineage
    assert [one["what"] for one in told["history"]] == ["add", "add", "add", "promote"]


PROMISE = Promise(3.1416, 1e-5, 0.1, 0.9, 0.125, 400, "a test")


def test_a_promise_of_privacy_is_kept_told_and_part_of_what_a_version_is(tmp_path):
    registry, (first, *_) = filled(tmp_path)
    private = Version(**first.version.model_dump() | {"privacy": PROMISE})
    registry.add(private, first.folder)
    assert private.digest != first.digest
    assert Registry(registry.files.root).version(private.digest).privacy == PROMISE
    lineage = json.loads(json.dumps(describe(registry, "desk")))["versions"][-1]
    assert lineage["privacy"] == PROMISE.to_dict()
    assert str(PROMISE) == "epsilon 3.15, delta 1e-05, for one training row more or less"


def test_records_from_before_promises_were_kept_are_read(tmp_path):
    registry, (first, *_) = filled(tmp_path)
    path = registry.files.version_file(first.digest)
    before = [
        "format", "task", "spec", "adapter", "base", "data", "trained_spec", "metrics",
        "validation", "run", "created",
    ]  # fmt: skip
    record = json.loads(path.read_text())
    assert list(record) == before
    value = {name: one for name, one in record.items() if name not in ("run", "created", "spec")}
    assert first.digest == of_json({**value, "spec": first.version.task_spec.digest()})
    assert registry.version(first.digest).privacy is None


@pytest.mark.parametrize(
    "entries",
    [
        [("promote", "a")],
        [("add", "a"), ("canary", "a")],
        [("add", "a"), ("roll back", "a")],
        [("add", "a"), ("promote", "a"), ("roll back", "a")],
        [("add", None)],
        [("add", "a"), ("promote", None)],
    ],
)
def test_no_history_that_could_not_have_happened(entries):
    history = tuple(
        Entry(at="now", what=Change(what), version=name and name * 64) for what, name in entries
    )
    with pytest.raises(ValueError, match="of the history"):
        TaskState(task="desk", history=history)


def test_writers_take_turns_and_readers_wait_for_nobody(tmp_path):
    registry, made = filled(tmp_path, count=4)
    errors = []

    def work(one):
        try:
            mine = Registry(registry.files.root)
            for _ in range(5):
                mine.promote("desk", one.digest)
                mine.task("desk")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(one,)) for one in made]
    for thread in threads:
        thread.start()
    with registry.locked():
        registry.task("desk")  # would hang for ever if reading waited
    for thread in threads:
        thread.join(60)
    assert not errors
    promoted = [e for e in registry.task("desk").history if e.what is Change.PROMOTE]
    # Nobody's last promotion is lost: each writer's five differ from what stood before.
    assert {e.version for e in promoted} == {one.digest for one in made}


def test_a_writer_that_waits_too_long_says_so(tmp_path, monkeypatch):
    registry, (first, *_) = filled(tmp_path)
    monkeypatch.setattr("pretune.registry.store.LOCK_SECONDS", 0.05)
    with (
        registry.locked(),
        pytest.raises(BusyError, match="another process is changing the registry"),
    ):
        Registry(Path(registry.files.root)).promote("desk", first.digest)


def test_a_source_that_changes_while_it_is_copied_is_not_kept(tmp_path, monkeypatch):
    registry, _ = filled(tmp_path)
    new = make(tmp_path, "desk", 9)

    def copied(source, target, real=shutil.copyfile):
        real(source, target)
        if Path(target).name == WEIGHTS:
            Path(target).write_bytes(b"half of an")

    monkeypatch.setattr(shutil, "copyfile", copied)
    with pytest.raises(AdapterError, match="changed while it was copied; add the run again"):
        registry.add(new.version, new.folder)
    assert new.version.adapter not in registry.files.adapter_names()
    assert new.digest not in registry.files.version_names()
    assert not list(registry.files.leftovers())


def test_what_lies_under_anothers_name_is_damaged(tmp_path):
    """Whole files, each in the other's place."""
    registry, (first, second, _) = filled(tmp_path)
    files = registry.files
    records = [files.version_file(one.digest) for one in (first, second)]
    kept = records[0].read_bytes()
    records[0].write_bytes(records[1].read_bytes())
    with pytest.raises(StorageError, match="is damaged; add its run again"):
        registry.promote("desk", first.digest)
    records[0].write_bytes(kept)
    folders = [registry.adapter_folder(one.version) for one in (first, second)]
    shutil.rmtree(folders[0])
    shutil.copytree(folders[1], folders[0])
    with pytest.raises(AdapterError, match="is damaged; add its run again"):
        registry.promote("desk", first.digest)
    registry.add(first.version, first.folder)
    assert registry.promote("desk", first.digest).current == first.digest
