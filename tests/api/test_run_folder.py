"""A run's folder that came from others: its record leads to its own adapters, nowhere else."""

import json

import pytest

from pretune.api.runs import RunFolder, adapter_folder
from pretune.core.errors import StorageError


def folder(path, text):
    path.mkdir(exist_ok=True)
    (path / "run.json").write_text(text)
    return path


def test_a_record_leads_to_an_adapter_of_the_run(tmp_path):
    run = folder(tmp_path / "run", json.dumps({"adapter": "adapters/0123456789ab"}))
    assert adapter_folder(run) == run / "adapters" / "0123456789ab"
    assert adapter_folder(tmp_path) == tmp_path, "no run, so it is an adapter"


@pytest.mark.parametrize(
    "adapter",
    [
        *("/etc", "/adapters/x", "../other/adapters/x", "adapters/../../x", "adapters/..", ".."),
        *("adapters/a/b", "adapters//etc", "adapters/", "adapters/.", "adapters", "other/x", ""),
        *("adapters\\x", "adapters/..\\x", "adapters/\0", None, 1, ["adapters", "x"]),
    ],
)
def test_a_record_that_leads_elsewhere_is_refused(tmp_path, adapter):
    run = folder(tmp_path / "run", json.dumps({"adapter": adapter}))
    shown = json.dumps(adapter)
    with pytest.raises(StorageError, match=r'has "adapter": .*expected "adapters/NAME".*') as found:
        RunFolder(run).adapter()
    assert shown in str(found.value)


def test_a_record_without_an_adapter_is_refused(tmp_path):
    with pytest.raises(StorageError, match='has "adapter": null'):
        adapter_folder(folder(tmp_path / "run", "{}"))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "1", '"x"', "[" * 10**5, '{"a":' * 10**5])
def test_a_record_that_is_none(tmp_path, text):
    with pytest.raises(StorageError, match=r'"run\.json" is missing or damaged'):
        adapter_folder(folder(tmp_path / "run", text))
