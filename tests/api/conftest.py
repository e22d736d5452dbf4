"""A small task on a tiny base, for tests of searches; other modules here have their own."""

import pytest

from api.cases_tuning import fixed_speed, make_task
from pretune.api import foresight
from pretune.bases.fakes import save_tiny


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("base"), num_hidden_layers=1)


@pytest.fixture
def task(tmp_path, base, monkeypatch):
    monkeypatch.setattr(foresight, "speed_of", fixed_speed)
    monkeypatch.setenv("PRETUNE_CACHE", str(tmp_path / "cache"))
    return make_task(tmp_path, base)
