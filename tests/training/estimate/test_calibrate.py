import pytest

from pretune.core.errors import StorageError
from pretune.training.estimate.calibrate import Calibration, errors, peak_of
from pretune.training.estimate.records import (
    HISTORY,
    keep_record,
    own_records,
    shipped_records,
)
from training.estimate.cases_estimate import record


def made(count=12):
    """Trainings that take 1.5 of what is made in a pass and what stays as it is."""
    sizes = [(1000 + 300 * n, 500 + 700 * (n % 5)) for n in range(count)]
    return [record(int(s + 1.5 * m), static=s, made=m) for s, m in sizes]


def test_the_fit_finds_what_made_the_records():
    found = Calibration.of(made(), (), "cpu")
    assert found.memory.weights[:2] == pytest.approx((1.0, 1.5), rel=0.01)


def test_one_disturbed_training_bends_nothing():
    spoilt = [*made(), record(50_000, static=1000, made=500)]
    found = Calibration.of(spoilt, (), "cpu")
    assert found.memory.weights[:2] == pytest.approx((1.0, 1.5), rel=0.05)


def test_own_dry_runs_shift_it_the_more_the_more_there_are():
    one = record(3500, static=1000, made=1000)  # 2500 expected: 1.4 times
    shifts = [Calibration.of(made(), [one] * n, "cpu").memory.shift for n in (0, 1, 20)]
    assert shifts[0] == 1
    assert 1.05 < shifts[1] < 1.2
    assert 1.3 < shifts[2] < 1.4


def test_dry_runs_of_another_kind_of_device_say_nothing():
    one = record(5000, static=1000, made=1000)
    other = one.model_copy(
        update={"measured": one.measured.model_copy(update={"device": "cuda:0"})}
    )
    assert Calibration.of(made(), [other], "cpu").memory.shift == 1
    assert Calibration.of(made(), [other], "cuda").own == 1


def test_what_ships_is_within_fifteen_percent_at_the_median():
    shipped = shipped_records()
    assert len(shipped) >= 30
    memory, _ = errors(shipped)
    assert sorted(abs(memory))[len(memory) // 2] < 0.15


def test_the_range_holds_most_of_what_was_measured():
    calibration = Calibration.of(shipped_records(), (), "cpu")
    inside = 0
    for one in shipped_records():
        low, _, high = calibration.memory.range(peak_of(calibration.memory, one))
        inside += low <= one.measured.peak <= high
    assert inside >= 0.85 * len(shipped_records())


def test_records_are_kept_and_read(tmp_path):
    assert own_records(tmp_path) == ()
    keep_record(record(1), tmp_path)
    keep_record(record(2), tmp_path)
    assert [one.measured.peak for one in own_records(tmp_path)] == [1, 2]


def test_a_damaged_file_of_records(tmp_path):
    (tmp_path / HISTORY).write_text("{half")
    with pytest.raises(StorageError, match="delete it, they only sharpen estimates"):
        own_records(tmp_path)
