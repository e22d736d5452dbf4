"""The dry run in its own process."""

import pytest

from pretune.bases.fakes import save_tiny
from pretune.core.errors import TrainingError
from pretune.spec.base import BaseSpec
from pretune.training.estimate.dry_run import dry_run
from pretune.training.estimate.work import Measuring
from training.estimate.cases_estimate import row, work


def test_it_measures_two_steps_and_a_chunk(tmp_path):
    base = BaseSpec(name=str(save_tiny(tmp_path)))
    some = work(base=base, measuring=Measuring(rows=(row(),) * 2, options=(2, 3)))
    found = dry_run(some)
    assert found.fits
    assert found.step_seconds > 0
    assert found.measuring_seconds > 0
    assert found.speed > 0


def test_it_ends_at_its_limit(tmp_path):
    base = BaseSpec(name=str(save_tiny(tmp_path)))
    found = dry_run(work(base=base), limit=1)
    assert not found.fits


def test_another_failure_is_told(tmp_path):
    with pytest.raises(TrainingError, match=r'ended with code "1": .*no base at'):
        dry_run(work(base=BaseSpec(name=str(tmp_path / "nowhere"))))
