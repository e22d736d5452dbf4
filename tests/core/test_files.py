"""Files that are whole or not there: who may read what replaces them."""

import os
import stat

import pytest

from pretune.core.files import file_atomic, write_atomic

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_may_be_read_by_those_who_may_read_any_new_file(tmp_path):
    (tmp_path / "usual").touch()
    write_atomic(tmp_path / "new", "text")
    assert mode(tmp_path / "new") == mode(tmp_path / "usual")


@pytest.mark.parametrize("before", [0o400, 0o600, 0o640, 0o666])
def test_what_replaces_a_file_may_be_read_by_the_same(tmp_path, before):
    path = tmp_path / "file"
    path.touch()
    path.chmod(before)
    write_atomic(path, "text")
    assert mode(path) == before


def test_what_is_private_is_its_owners_alone_whatever_it_was(tmp_path):
    path = tmp_path / "file"
    for _ in range(2):
        with file_atomic(path, private=True) as draft:
            assert mode(draft) == 0o600
            draft.write_text("secret")
        assert mode(path) == 0o600
        path.chmod(0o644)


def test_no_draft_is_left(tmp_path):
    (tmp_path / "folder").mkdir()
    write_atomic(tmp_path / "file", "text")
    with pytest.raises(Exception, match="cannot write"):
        write_atomic(tmp_path / "folder", "text")
    assert {one.name for one in tmp_path.iterdir()} == {"file", "folder"}
