"""Promotion by a gate's pass or by an override: who, when, why, and on what evidence."""

import json

import pytest

from pretune.core.errors import GoalMissed, SpecError, StorageError
from pretune.gating.evidence import MOST_BYTES, Check, parse_evidence, read_evidence
from pretune.registry import Registry
from pretune.registry.author import Author
from pretune.registry.collect import collect
from pretune.registry.describe import describe
from registry.cases import evidence_of, filled, make

GOALS = ["accuracy >= 0.8"]


@pytest.fixture
def two(tmp_path):
    """A registry with two versions of a task that has a goal."""
    registry = Registry.create(tmp_path / "registry")
    made = [make(tmp_path / "made", "desk", number, goals=GOALS) for number in range(2)]
    for one in made:
        registry.add(one.version, one.folder)
    return registry, made


def test_a_pass_lets_a_version_answer_and_the_history_says_on_what(two):
    registry, (one, _) = two
    with pytest.raises(GoalMissed, match=r"was not gated, and task .desk. has goals; run: pretune"):
        registry.promote("desk", one.digest)
    found = evidence_of(one.version)
    registry.gate("desk", one.digest, found, Author("ann", "nightly"))
    state = registry.promote("desk", one.digest, Author("bob", "better"))
    assert state.current == one.digest
    gated, promoted = state.history[-2:]
    assert (gated.what, gated.by, gated.why) == ("gate", "ann", "nightly")
    assert (gated.verdict, gated.evidence) == ("pass", found.digest)
    assert (promoted.by, promoted.evidence, promoted.override) == ("bob", found.digest, None)
    kept, card = registry.files.evidence_files(found.digest)
    assert read_evidence(kept) == found
    assert card.read_text().startswith("# desk: pass")
    told = describe(registry, "desk")
    assert told["versions"][0]["gate"] == {"evidence": found.digest, "verdict": "pass"}
    assert told["versions"][1]["gate"] is None
    assert told["history"][-1]["evidence"] == found.digest


@pytest.mark.parametrize("outcome", ["fail", "undecided", "not measured"])
def test_nothing_else_does_but_an_override_that_is_kept(two, outcome):
    registry, (one, _) = two
    registry.gate("desk", one.digest, evidence_of(one.version, outcome))
    verdict = "fail" if outcome == "fail" else "undecided"
    before = registry.task("desk")
    with pytest.raises(GoalMissed, match=rf"says {verdict}: accuracy >= 0.8: {outcome}"):
        registry.promote("desk", one.digest)
    with pytest.raises(SpecError, match="an override needs a reason"):
        registry.promote("desk", one.digest, override="  ")
    assert registry.task("desk") == before
    state = registry.promote("desk", one.digest, override="the auditor waits")
    assert state.current == one.digest
    assert state.history[-1].override == "the auditor waits"
    assert describe(registry, "desk")["history"][-1]["override"] == "the auditor waits"


def test_the_last_gate_counts(two):
    registry, (one, _) = two
    registry.gate("desk", one.digest, evidence_of(one.version))
    registry.gate("desk", one.digest, evidence_of(one.version, "fail"))
    with pytest.raises(GoalMissed, match="says fail"):
        registry.promote("desk", one.digest)


def test_evidence_of_something_else_is_not_taken(two, tmp_path):
    registry, (one, other) = two
    plain = make(tmp_path / "made", "desk", 0)  # the same adapter under a spec without goals
    counter = make(tmp_path / "made", "counter", 0, goals=GOALS)
    before = registry.task("desk")
    for version, words in (
        (other.version, "adapter"),
        (plain.version, "spec"),
        (counter.version, 'task "counter", not "desk"'),
        (one.version.model_copy(update={"base": "d" * 64}), 'base "dddddddddddd"'),
    ):
        with pytest.raises(GoalMissed, match=f"is not of version {one.digest[:12]}: .*{words}"):
            registry.gate("desk", one.digest, evidence_of(version))
    silent = evidence_of(one.version, checks=())
    with pytest.raises(GoalMissed, match=r'says nothing of the goal "accuracy >= 0.8"'):
        registry.gate("desk", one.digest, silent)
    assert registry.task("desk") == before
    assert not registry.files.evidence_names()


def test_evidence_against_a_version_that_answers_no_more_is_stale(two):
    registry, (one, other) = two
    for made in (one, other):
        registry.gate("desk", made.digest, evidence_of(made.version))
    registry.promote("desk", one.digest)
    with pytest.raises(GoalMissed, match=f"with version none, and {one.digest[:12]} answers now"):
        registry.promote("desk", other.digest)
    registry.gate("desk", other.digest, evidence_of(other.version, current=one.digest))
    assert registry.promote("desk", other.digest).current == other.digest
    # The way back needs no gate: that version has answered before.
    assert registry.roll_back("desk").current == one.digest


def test_without_goals_nothing_is_promised_but_a_failed_gate_counts(tmp_path):
    registry, (first, second, _) = filled(tmp_path)
    assert registry.promote("desk", first.digest).history[-1].evidence is None
    worse = (Check(name="not worse than the current version", outcome="fail", reason="worse"),)
    found = evidence_of(second.version, checks=worse, current=first.digest)
    registry.gate("desk", second.digest, found)
    with pytest.raises(GoalMissed, match="says fail: not worse than the current version"):
        registry.promote("desk", second.digest)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda data: b"", "is damaged; run the gate again"),
        (lambda data: data[: len(data) // 2], "is damaged; run the gate again"),
        (lambda data: b"[" * 100_000, "is damaged; run the gate again"),
        (lambda data: b"\xff\xfe" + data, "is damaged; run the gate again"),
        (lambda data: b"[]", "is damaged; run the gate again"),
        (lambda data: data + b" " * MOST_BYTES, "larger than"),
        (lambda data: data.replace(b'"format": 1', b'"format": 2'), "format .2., this version"),
        (lambda data: data.replace(b'"fail"', b'"pass"', 1), "verdict .pass. where the checks say"),
        (lambda data: data.replace(b'"split"', b'"splitt"'), "unknown key .splitt."),
        (lambda data: data.replace(b'"rows": "c', b'"rows": "../'), "no evidence of a gate: rows"),
        (lambda data: data.replace(b'"metrics": {}', b'"metrics": {"a": {"value": NaN, '
                                   b'"low": 0, "high": 1, "n": 1}}'), "finite number"),
    ],
)  # fmt: skip
def test_a_hostile_or_truncated_file_is_no_evidence(two, tmp_path, harm, words):
    _, (one, _) = two
    data = evidence_of(one.version, "fail").file()
    path = tmp_path / "evidence.json"
    path.write_bytes(data)
    assert read_evidence(path) == evidence_of(one.version, "fail")
    path.write_bytes(harm(data))
    with pytest.raises(StorageError, match=words):
        read_evidence(path)


def test_evidence_that_was_changed_after_the_gate_lets_nobody_answer(two):
    registry, (one, _) = two
    found = evidence_of(one.version, "fail")
    registry.gate("desk", one.digest, found)
    path, _ = registry.files.evidence_files(found.digest)
    path.write_bytes(path.read_bytes().replace(b'"fail"', b'"pass"'))  # the checks as well
    assert parse_evidence(path.read_bytes(), path).verdict == "pass"
    with pytest.raises(StorageError, match="is damaged; run the gate again"):
        registry.promote("desk", one.digest)
    path.unlink()
    with pytest.raises(StorageError, match="cannot read evidence"):
        registry.promote("desk", one.digest)
    assert registry.task("desk").current is None


def test_collection_keeps_what_a_history_names(two):
    registry, (one, _) = two
    found = evidence_of(one.version)
    registry.gate("desk", one.digest, found)
    registry.files.write_evidence(evidence_of(one.version, "fail"))  # killed before its entry
    collect(registry)
    assert registry.files.evidence_names() == [found.digest]
    assert registry.files.read_evidence(found.digest) == found
    registry.remove("desk")
    collect(registry)
    assert registry.files.evidence_names() == []


@pytest.mark.parametrize("lacking", ["version", "evidence", "verdict"])
def test_a_gate_in_a_history_is_whole(two, lacking):
    registry, (one, _) = two
    registry.gate("desk", one.digest, evidence_of(one.version))
    path = registry.files.task_file("desk")
    state = json.loads(path.read_text())
    del state["history"][-1][lacking]
    path.write_text(json.dumps(state))
    with pytest.raises(StorageError, match="is damaged"):
        registry.task("desk")
