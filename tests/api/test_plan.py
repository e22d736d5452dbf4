"""An estimate that is off by half is found by the dry run, and believed afterwards."""

import pytest

import pretune
from pretune.api import plans
from pretune.bases.fakes import save_tiny
from pretune.planning.plan import Fit, Prospect
from pretune.spec.dump import task_value
from pretune.spec.task import parse_task
from pretune.training.estimate.dry_run import Measured
from pretune.training.estimate.records import own_records
from pretune.training.estimate.speed import Speed

MB = 10**6


@pytest.fixture
def task(tmp_path):
    save_tiny(tmp_path / "base", num_hidden_layers=1)
    rows = "".join(f'{{"text": "row {n}", "label": "{"ab"[n % 2]}"}}\n' for n in range(40))
    (tmp_path / "rows.jsonl").write_text(rows)
    value = {
        "base": str(tmp_path / "base"),
        "data": {"train": "rows.jsonl"},
        "template": {"system": "Which?", "user": "{text}", "target": "{label}"},
        "labels": ["a", "b"],
    }
    return parse_task(value, name="t", folder=tmp_path)


def planned(task, tmp_path, **options):
    known = {"measure_base": False, "cache": tmp_path / "cache"}
    return pretune.plan(task, pretune.PlanOptions(**(known | options)))


def dry(monkeypatch, found):
    def instead(work, *, device, limit):
        dry.limit = limit
        return found

    monkeypatch.setattr(plans, "dry_run", instead)


def measured(peak, fits=True):
    return Measured(
        fits=fits, peak=peak, idle=plans.IDLE, step_seconds=0.1, speed=1e11, bandwidth=1e10
    )


def test_twice_the_estimate_is_found_and_believed(task, tmp_path, monkeypatch):
    reckoned = planned(task, tmp_path, dry_run=False).resources.estimate.memory.expected
    dry(monkeypatch, measured(round(2 * reckoned)))
    found = planned(task, tmp_path).resources
    assert found.estimate.memory.expected == pytest.approx(2 * reckoned, rel=1e-6)
    assert found.reckoned.memory.expected == pytest.approx(reckoned)
    assert "the dry run took 2.00 times the estimate" in found.surprise
    assert len(own_records(tmp_path / "cache")) == 1
    later = planned(task, tmp_path, dry_run=False).resources
    assert later.estimate.memory.expected == pytest.approx(reckoned * 2 ** (1 / 3))  # 1 of 1 + 2


@pytest.mark.parametrize("fits", [True, False])
def test_the_way_out_believes_the_dry_run(task, tmp_path, monkeypatch, fits):
    reckoned = planned(task, tmp_path, dry_run=False, memory=474 * MB).resources
    dry(monkeypatch, measured(round(10 * reckoned.estimate.memory.expected), fits=fits))
    found = planned(task, tmp_path, memory=474 * MB).resources
    before = {one.change: one.estimate.memory.expected for one in reckoned.way_out.knobs}
    after = {one.change: one.estimate.memory.expected for one in found.way_out.knobs}
    assert before.keys() == after.keys()
    assert before
    for change, memory in after.items():
        assert memory == pytest.approx(10 * before[change], rel=1e-6)
    assert ("may take more than is said here" in found.surprise) is not fits


def test_a_dry_run_that_ended_at_its_limit(task, tmp_path, monkeypatch):
    dry(monkeypatch, measured(900 * MB, fits=False))
    plan = planned(task, tmp_path, memory=1000 * MB)
    assert dry.limit == 950 * MB
    assert plan.resources.fit is Fit.TOO_LARGE
    assert not plan.possible
    assert "the dry run ended at its limit, 0.90 GB" in plan.resources.surprise
    assert plan.resources.way_out is not None
    assert own_records(tmp_path / "cache") == ()


def test_what_fits_needs_no_way_out(task, tmp_path):
    found = planned(task, tmp_path, dry_run=False, memory=8000 * MB).resources
    assert (found.fit, found.way_out) == (Fit.FITS, None)


def test_processes_share_a_processors_memory(task, tmp_path):
    one, two = (
        planned(task, tmp_path, dry_run=False, memory=8000 * MB, devices=n).resources.room
        for n in (1, 2)
    )
    assert two == pytest.approx(one - 3800 * MB)  # half of 95 % of it


def test_a_goal_on_memory_counts_the_libraries_as_its_measurement_does(task, tmp_path):
    goals = ["train_memory_gb < 0.2", "train_memory_gb < 2"]
    promised = parse_task({**task_value(task), "goals": goals}, name="t")
    plan = planned(promised, tmp_path, dry_run=False, memory=8000 * MB)
    assert plan.resources.estimate.memory.high < 200 * MB < plan.resources.idle
    assert [one.prospect for one in plan.goals] == [Prospect.IMPOSSIBLE, Prospect.EXPECTED]
    assert plan.resources.way_out is None, "it fits, so that no knobs are shown"
    assert "gradient_checkpointing" in plan.goals[0].reason
    low, _, _ = plan.resources.estimate.memory
    assert f"({(low + plan.resources.idle) / 1e9:.3g} to " in plan.goals[0].reason


def test_a_long_instruction_of_all_rows_rules_no_latency_out(task, tmp_path, monkeypatch):
    # The server reads it for the first request: what each further one takes is its own few tokens.
    monkeypatch.setattr(plans, "fastest_of", lambda *_: Speed(flops=1e9, bytes=1e9))
    value = {**task_value(task), "data": {**task_value(task)["data"], "validation_share": 0.5}}
    found = []
    for words in ("Which?", "Which of the two is it? " * 10):
        asked = {**value["template"], "system": words}
        goals = ["p99_latency_ms < 500"]
        told = parse_task({**value, "template": asked, "goals": goals}, name="t")
        found.append(planned(told, tmp_path, dry_run=False, memory=8000 * MB).goals[0].reason)
    assert found[0] == found[1]


def test_what_the_gate_asks_of_answers_is_left_to_it_or_ruled_out(task, tmp_path):
    goals = ["ece <= 0.1", "typos_drop <= 0.05"]
    labelled = parse_task({**task_value(task), "goals": goals}, name="t")
    told = planned(labelled, tmp_path, dry_run=False, memory=8000 * MB).goals
    assert [one.prospect for one in told] == [Prospect.GATED] * 2
    value = {**task_value(task), "goals": goals}
    for key in ("labels", "metrics"):
        value.pop(key, None)
    free = planned(parse_task(value, name="t"), tmp_path, dry_run=False, memory=8000 * MB)
    ece, typos = free.goals
    assert (ece.prospect, typos.prospect) == (Prospect.IMPOSSIBLE, Prospect.GATED)
    assert "only labels have probabilities" in ece.reason
