"""A training is paused or given up from outside; the first can go on, the second is over."""

from pretune.spec.training import TrainSpec
from pretune.training.history import StopReason, Validation
from pretune.training.loop import Start
from pretune.training.oversight import Oversight
from training.cases_training import Recorder, run

SPEC = TrainSpec(epochs=3, batch_size=4, learning_rate=1e-2, patience=9)
"""Nine steps, measured after 3, 6 and 9."""


def measured() -> Validation:
    return Validation(lambda: {"score": 0.5}, "score")


def test_paused_and_gone_on_is_uninterrupted(tmp_path):
    whole = run(tmp_path / "whole", SPEC)
    recorder = Recorder()

    def pause():
        return len(recorder.of("train.step")) == 4

    half = run(tmp_path / "half", SPEC, sinks=[recorder], oversight=Oversight(pause=pause))
    assert (half.reason, half.steps) == (StopReason.INTERRUPTED, 4)
    rest = run(tmp_path / "half", SPEC, start=Start.RESUME)
    assert rest.curve == whole.curve
    assert rest.reason is StopReason.FINISHED


def test_given_up_is_over(tmp_path):
    asked = []

    def give_up(measurements):
        asked.append([one.step for one in measurements])
        return len(measurements) == 2

    oversight = Oversight(give_up=give_up)
    done = run(tmp_path / "run", SPEC, validation=measured(), oversight=oversight)
    assert (done.reason, done.steps) == (StopReason.GIVEN_UP, 6)
    assert asked == [[3], [3, 6]]
    again = run(tmp_path / "run", SPEC, validation=measured(), start=Start.RESUME)
    assert (again.reason, again.steps) == (StopReason.GIVEN_UP, 6)


def test_the_last_measurement_gives_nothing_up(tmp_path):
    never_last = Oversight(give_up=lambda measurements: len(measurements) == 3)
    done = run(tmp_path / "run", SPEC, validation=measured(), oversight=never_last)
    assert done.reason is StopReason.FINISHED
