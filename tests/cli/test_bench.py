"""``pretune bench``: the table, the JSON and the page."""

import pytest
import torch

from bench.conftest import TINY
from pretune.bench import work
from pretune.bench.figures import TARGETS


@pytest.fixture
def quick(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(work, "QUICK", TINY)


def test_json_has_every_figure_under_its_name(run, quick, tmp_path):
    ran = run("bench", "--quick", "--only", "tasks", "--json")
    assert ran.code == 0
    assert set(TARGETS) <= ran.json.keys()
    assert ran.json["decode_ratio_32_tasks"] > 0
    assert ran.json["base_vs_vllm"] is None
    assert ran.json["reasons"]["base_vs_vllm"] == "not asked for"
    assert ran.json["machine"]["cores"] > 0
    assert (tmp_path / "runs/bench/bench.html").is_file()


def test_the_table_says_what_was_missed(run, quick):
    ran = run("bench", "--quick", "--peers", "none", "--only", "adapter_bytes_in_decode")
    assert "adapter_bytes_in_decode" in ran.out
    assert "pass" in ran.out
    assert "cores" in ran.out


def test_an_unknown_figure_is_told_with_the_nearest(run, quick):
    ran = run("bench", "--only", "step_vs_flor")
    assert ran.code == 2
    assert 'did you mean "step_vs_floor"?' in " ".join(ran.err.split())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is such a device here")
def test_a_device_that_is_not_there_is_told(run, quick):
    ran = run("bench", "--quick", "--device", "cuda")
    assert ran.code == 2
    assert 'device "cuda" is not there' in " ".join(ran.err.split())
