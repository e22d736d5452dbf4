"""Adapters of a server are those that it found, or none."""

import shutil

import pytest

from laws.cases import CONFIGS, make_adapter
from pretune.adapters.files import save_adapter
from pretune.api.serve import Store
from pretune.bases.fakes import tiny_base
from pretune.core.errors import AdapterError
from pretune.core.scope import Scope


def test_a_run_trained_anew_under_a_server_is_not_taken_for_the_old(tmp_path):
    base = tiny_base()
    served, other = (make_adapter(base, CONFIGS["lora"], Scope.PROMPT, seed) for seed in (1, 2))
    folder = save_adapter(served, tmp_path / "run")
    store = Store({served.digest: folder})
    assert store.load(served.digest).digest == served.digest
    shutil.rmtree(folder)
    shutil.copytree(save_adapter(other, tmp_path / "anew"), folder)
    with pytest.raises(AdapterError, match=f"{other.digest[:6]}.*not.*{served.digest[:6]}.*anew"):
        store.load(served.digest)
