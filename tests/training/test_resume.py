"""Killed and resumed is uninterrupted, to the last digit."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pretune.bases.fakes import tiny_base
from pretune.core.errors import StorageError, TrainingError
from pretune.data.softlabels import SoftLabels
from pretune.spec.methods import LoraConfig
from pretune.spec.training import TrainSpec
from pretune.training import loop
from pretune.training.checkpoint import FILE_NAME, Checkpoint, load_checkpoint
from pretune.training.history import History, StopReason, Validation
from pretune.training.loop import Start
from pretune.training.objectives.distil import Softening, distil_labels, distil_tokens
from pretune.training.sinks.jsonl import JsonLines
from training.cases_training import OBJECTIVES, Recorder, objective_of, options, rows, run

SPEC = TrainSpec(epochs=4, batch_size=4, micro_batch_size=2, learning_rate=1e-2, patience=9)
"""Twelve steps."""


class LossOf:
    """A metric that follows from the parameters: minus the last loss."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __call__(self):
        return {"minus_loss": -self._recorder.of("train.step")[-1].values["loss"]}


def logged(folder: Path) -> list[tuple[str, int, float | None]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    kept = [line for line in lines if line["kind"] in ("train.step", "train.validation")]
    return [(x["kind"], x["step"], x.get("loss", x.get("minus_loss"))) for x in kept]


def whole(folder: Path, kind: str = "sft"):
    recorder = Recorder()
    return run(
        folder,
        SPEC,
        sinks=[recorder, JsonLines(folder / "log.jsonl")],
        validation=Validation(LossOf(recorder), "minus_loss"),
        objective=objective_of(kind, folder.parent),
    )


class Stop(Exception):
    """Stands for a death of the process at a step."""


class StopAt:
    """A sink that dies at a step."""

    def __init__(self, kind: str, step: int, act) -> None:
        self._when, self._act = (kind, step), act

    def emit(self, event) -> None:
        if (event.kind, event.step) == self._when:
            self._act()


CHILD = """
import sys, os, signal
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from pretune.training import loop
loop.CHECKPOINT_SECONDS = 0.0
from training.cases_training import Recorder, objective_of, run
from training.test_resume import SPEC, LossOf, StopAt
from pretune.training.history import Validation
from pretune.training.loop import Start
from pretune.training.objectives.distil import Softening, distil_labels, distil_tokens
from pretune.training.sinks.jsonl import JsonLines
folder, recorder = Path(sys.argv[1]), Recorder()
kill = StopAt("train.step", int(sys.argv[2]), lambda: os.kill(os.getpid(), signal.SIGKILL))
sinks = [recorder, JsonLines(folder / "log.jsonl"), kill]
run(folder, SPEC, sinks=sinks, start=Start.RESUME,
    validation=Validation(LossOf(recorder), "minus_loss"),
    objective=objective_of(sys.argv[4], folder.parent))
"""


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_killed_and_resumed_is_uninterrupted(kind, tmp_path):
    threads = torch.get_num_threads()
    expected = whole(tmp_path / "whole", kind)
    for step in (5, 9):  # the first kill leaves checkpoint 4, as step 5 is not saved yet
        child = subprocess.run(
            [
                sys.executable,
                "-c",
                CHILD,
                tmp_path / "killed",
                str(step),
                Path(__file__).parents[1],
                kind,
            ],
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            capture_output=True,
            text=True,
        )
        assert child.returncode == -signal.SIGKILL, child.stderr
        found = load_checkpoint(tmp_path / "killed")
        assert found is not None
        assert found.history.step == step - 1
        assert logged(tmp_path / "killed")[-1][:2] == ("train.step", step)
    recorder = Recorder()
    resumed = run(
        tmp_path / "killed",
        SPEC,
        sinks=[recorder, JsonLines(tmp_path / "killed" / "log.jsonl")],
        validation=Validation(LossOf(recorder), "minus_loss"),
        start=Start.RESUME,
        objective=objective_of(kind, tmp_path),
    )
    assert resumed.curve == expected.curve
    assert resumed.measurements == expected.measurements
    assert resumed.adapter.digest == expected.adapter.digest
    assert logged(tmp_path / "killed") == logged(tmp_path / "whole")


@pytest.mark.parametrize("step", [1, 3, 4, 11])
def test_a_failure_at_any_step_resumes(step, tmp_path):
    expected = whole(tmp_path / "whole")

    def stop():
        raise Stop

    recorder = Recorder()
    sinks = [recorder, JsonLines(tmp_path / "log.jsonl"), StopAt("train.step", step, stop)]
    validation = Validation(LossOf(recorder), "minus_loss")
    with pytest.raises(Stop):
        run(tmp_path, SPEC, sinks=sinks, validation=validation)
    resumed = run(tmp_path, SPEC, sinks=sinks[:2], validation=validation, start=Start.RESUME)
    assert resumed.curve == expected.curve
    assert resumed.adapter.digest == expected.adapter.digest
    assert logged(tmp_path) == logged(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_and_leaves_a_checkpoint(number, tmp_path):
    expected = whole(tmp_path / "whole")
    recorder = Recorder()
    validation = Validation(LossOf(recorder), "minus_loss")
    # At step 6, where a measurement is due: it is made up for after the resume.
    send = StopAt("train.step", 6, lambda: signal.raise_signal(number))
    handler = signal.getsignal(number)
    first = run(tmp_path, SPEC, sinks=[recorder, send], validation=validation)
    assert first.reason is StopReason.INTERRUPTED
    assert first.steps == 6
    assert [one.step for one in first.measurements] == [3]
    assert signal.getsignal(number) is handler
    resumed = run(tmp_path, SPEC, sinks=[recorder], validation=validation, start=Start.RESUME)
    assert resumed.reason is StopReason.FINISHED
    assert resumed.curve == expected.curve
    assert resumed.measurements == expected.measurements


def test_a_second_signal_stops_at_once(tmp_path):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, SPEC, sinks=[StopAt("train.step", 2, twice)])


def test_trains_outside_the_main_thread(tmp_path):
    results = []
    spec = SPEC.model_copy(update={"max_steps": 2})
    thread = threading.Thread(target=lambda: results.append(run(tmp_path, spec)))
    thread.start()
    thread.join()
    assert results[0].steps == 2


def test_checkpoints_by_the_clock(tmp_path, monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    run(tmp_path, SPEC, sinks=[recorder])
    assert [event.step for event in recorder.of("train.checkpoint")] == list(range(13))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"spec": SPEC.model_copy(update={"batch_size": 6})},
            'train.batch_size was "4" and is now "6"',
        ),
        ({"config": LoraConfig(rank=4)}, "method was .*'rank': 3.* and is now .*'rank': 4"),
        ({"examples": rows(tiny_base(), 11)}, 'training rows was ".*" and is now'),
        ({"base": tiny_base(seed=1)}, 'base was ".*" and is now'),
        ({"validation": Validation(dict, "f1")}, 'watched metric was "None" and is now "f1"'),
    ],
)
def test_another_training_is_no_resume(change, words, tmp_path):
    run(tmp_path, SPEC.model_copy(update={"max_steps": None}))
    with pytest.raises(TrainingError, match=f"cannot resume: {words}"):
        run(tmp_path, **({"spec": SPEC} | change), start=Start.RESUME)


@pytest.mark.parametrize("kind", OBJECTIVES[1:])
def test_other_soft_labels_are_no_resume(kind, tmp_path):
    run(tmp_path / "run", SPEC, objective=objective_of(kind, tmp_path))
    other = objective_of(kind, tmp_path, Softening(4.0, 0.7))
    words = "objective was .distil, temperature 2, weight 0.7, .* now .distil, temperature 4"
    with pytest.raises(TrainingError, match=f"cannot resume: {words}"):
        run(tmp_path / "run", SPEC, start=Start.RESUME, objective=other)
    path = tmp_path / f"{kind}.jsonl"
    path.write_text(path.read_text("utf-8").replace("random", "another"), "utf-8")
    soft = SoftLabels(path)
    if kind == "distil-labels":
        other = distil_labels(soft, options(tiny_base()), Softening(2.0, 0.7))
    else:
        other = distil_tokens(soft, tiny_base().renderer.digest, Softening(2.0, 0.7))
    with pytest.raises(TrainingError, match=r"objective was .* soft labels \w{12}. and is now"):
        run(tmp_path / "run", SPEC, start=Start.RESUME, objective=other)


def test_resume_without_a_checkpoint_is_a_start(tmp_path):
    assert run(tmp_path, SPEC, start=Start.RESUME).steps == 12


def test_a_damaged_checkpoint(tmp_path):
    run(tmp_path, SPEC)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StorageError, match=r'checkpoint ".*" is damaged .*; overwrite'):
        run(tmp_path, SPEC, start=Start.RESUME)


def test_drafts_of_a_kill_are_removed(tmp_path):
    draft = tmp_path / f".{FILE_NAME}.abc"
    draft.write_bytes(b"half")
    run(tmp_path, SPEC)
    assert not draft.exists()
    assert time.time() - (tmp_path / FILE_NAME).stat().st_mtime < 60


def test_processes_that_begin_together_may_all_remove_a_draft(tmp_path, monkeypatch):
    draft = tmp_path / f".{FILE_NAME}.abc"
    draft.write_bytes(b"half")
    unlink = Path.unlink

    def second(self, **options):
        unlink(self)  # the other process was a moment sooner
        unlink(self, **options)

    monkeypatch.setattr(Path, "unlink", second)
    assert load_checkpoint(tmp_path) is None
    assert not draft.exists()


def test_the_hours_of_a_training_count_its_measurements_of_all_parts(tmp_path, monkeypatch):
    """By a clock on which every measurement takes an hour and all else next to nothing."""
    now = 0.0

    def clock():
        nonlocal now
        now += 1e-6
        return now

    def measure():
        nonlocal now
        now += 3600
        return {"minus_loss": 0.0}

    def die():
        raise Stop

    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=clock))
    validation = Validation(measure, "minus_loss")
    with pytest.raises(Stop):
        run(tmp_path, SPEC, sinks=[StopAt("train.step", 9, die)], validation=validation)
    resumed = run(tmp_path, SPEC, validation=validation, start=Start.RESUME)
    assert resumed.seconds < 1
    assert resumed.hours == pytest.approx(len(resumed.measurements))
    assert len(resumed.measurements) == 4


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_a_checkpoint_is_its_owners_alone_as_it_holds_the_noise_of_a_private_training(tmp_path):
    Checkpoint({}, History(), {}).save(tmp_path)
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
