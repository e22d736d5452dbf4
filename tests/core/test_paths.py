"""Paths from one folder to another, where links lead elsewhere."""

import pytest

from pretune.core.paths import relative_path


@pytest.fixture
def places(tmp_path):
    """Two folders, and in each a link to the other."""
    for name in ("project/data", "disk/deep/runs"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "project/rows.jsonl").touch()
    (tmp_path / "disk/more.jsonl").touch()
    (tmp_path / "project/runs").symlink_to(tmp_path / "disk/deep/runs")
    (tmp_path / "project/disk").symlink_to(tmp_path / "disk")
    return tmp_path


def test_plain_folders(places):
    assert relative_path(places / "project/rows.jsonl", places / "project/data") == "../rows.jsonl"
    assert relative_path(places / "project/rows.jsonl", places / "project") == "rows.jsonl"
    assert relative_path(places / "no/such.jsonl", places / "nor/this") == "../../no/such.jsonl"


def test_a_folder_reached_through_a_link(places):
    run = places / "project/runs/desk"
    run.mkdir()
    found = relative_path(places / "project/rows.jsonl", run)
    assert found == "../../../../project/rows.jsonl"
    assert (run / found).samefile(places / "project/rows.jsonl")


def test_a_path_that_goes_up_from_a_link(places):
    path = places / "project/runs/../../more.jsonl"  # that is disk/more.jsonl
    found = relative_path(path, places / "project/data")
    assert (places / "project/data" / found).samefile(places / "disk/more.jsonl")


def test_a_link_keeps_its_name_where_that_leads_there(places):
    link = places / "project/disk/more.jsonl"
    assert relative_path(link, places / "project/data") == "../disk/more.jsonl"
