"""What is said where a training does not fit."""

import pytest

from pretune.bases.fakes import save_tiny
from pretune.core.scope import Scope
from pretune.spec.base import BaseSpec
from pretune.spec.methods import FullConfig
from pretune.training.estimate.calibrate import Calibration
from pretune.training.estimate.estimate import Course, Estimator
from pretune.training.estimate.knobs import knobs, way_out
from pretune.training.estimate.records import shipped_records
from pretune.training.estimate.speed import Speed
from training.estimate.cases_estimate import work

COURSE = Course(steps=100)
SPEEDS = dict.fromkeys((False, True), Speed(1e11, 1e10))


@pytest.fixture
def some(tmp_path):
    return work(32, 256, base=BaseSpec(name=str(save_tiny(tmp_path))))


def estimator():
    return Estimator(Calibration.of(shipped_records(), (), "cpu"), SPEEDS, "cpu")


def test_each_knob_by_itself_the_most_useful_first(some):
    way = way_out(estimator(), some, COURSE, [256] * 100, room=1e12)
    saved = [one.saved for one in way.knobs]
    assert saved == sorted(saved, reverse=True)
    assert min(saved) > 0
    assert way.together == ()  # there is room for all of it


def test_gentle_ones_first_until_it_fits(some):
    whole = estimator().estimate(some, COURSE).memory.high
    way = way_out(estimator(), some, COURSE, [256] * 100, room=0.75 * whole)
    assert way.together == ("train: {micro_batch_size: 16}",)
    assert way.estimate.memory.high <= 0.75 * whole
    way = way_out(estimator(), some, COURSE, [256] * 100, room=0.3 * whole)
    assert len([one for one in way.together if "micro_batch_size" in one]) == 1


def test_nothing_fits_into_nothing(some):
    assert way_out(estimator(), some, COURSE, [256] * 100, room=0).together is None


def test_half_a_batch_is_twice_the_steps(some):
    way = way_out(estimator(), some, COURSE, [256] * 100, room=1e12)
    half = next(
        one for one in way.knobs if "batch_size: 16}" in one.change and "micro" not in one.change
    )
    before = estimator().estimate(some, COURSE)
    assert half.estimate.whole.expected > 1.5 * before.whole.expected / 2
    assert half.estimate.whole.expected / half.estimate.step.expected == pytest.approx(200)


def test_a_shorter_limit_where_few_rows_are_long(some):
    changes = [knob.change for knob in knobs(some, [*[100] * 96, *[256] * 4])]
    assert "train: {max_length: 100}" in changes
    assert not any("max_length" in knob.change for knob in knobs(some, [256] * 100))


def test_full_tuning_may_become_lora_and_is_never_packed():
    changes = [knob.change for knob in knobs(work(method=FullConfig(), scope=Scope.ALL), [])]
    assert "method: lora" in changes
    assert "base: {precision: nf4}" not in changes
