"""The key file and the vault: who can open what, and what a damaged one says."""

import os
import sqlite3
import stat

import pytest

from pretune.core.errors import DataError, SpecError, StorageError
from pretune.core.origin import Origin, RowKind
from pretune.data.privacy.keyfile import Key, load_key, make_key
from pretune.data.privacy.vault import Entry, Vault

KEY, OTHER = Key(bytes(32)), Key(bytes([1] * 32))
ENTRY = Entry("[PERSON_0000000000]", "john smith", "John SMITH")


@pytest.fixture
def path(tmp_path):
    with Vault(tmp_path / "k.vault", KEY, create=True) as vault:
        vault.add([ENTRY])
    return tmp_path / "k.vault"


def test_a_key_file_is_its_owners_alone_and_is_never_replaced(tmp_path):
    file = tmp_path / "new" / "k.key"
    made = make_key(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load_key(file).id == made.id
    before = file.read_bytes()
    with pytest.raises(SpecError, match="exists and is never replaced"):
        make_key(file)
    assert file.read_bytes() == before
    assert make_key(tmp_path / "other").id != made.id


def test_a_key_file_that_others_may_read_is_refused(tmp_path):
    make_key(tmp_path / "k")
    os.chmod(tmp_path / "k", 0o640)
    with pytest.raises(DataError, match=r"mode 640\); make it yours alone: chmod 600"):
        load_key(tmp_path / "k")


@pytest.mark.parametrize(
    "content", [b"", b"pretune-key-1 \n", b"pretune-key-1 AAAA\n", b"\xff\x00", b"x" * 10**6]
)
def test_what_is_no_key_file(tmp_path, content):
    file = tmp_path / "k"
    file.write_bytes(content)
    os.chmod(file, 0o600)
    with pytest.raises(DataError, match="is no key file, or a damaged one"):
        load_key(file)


def test_a_missing_key_file_names_the_one_meant(tmp_path):
    make_key(tmp_path / "customers.key")
    with pytest.raises(DataError, match=r'did you mean "customers.key"'):
        load_key(tmp_path / "customer.key")


def test_the_vault_gives_back_what_it_was_given(path):
    with Vault(path, KEY) as vault:
        assert vault.text_of(ENTRY.pseudonym) == "John SMITH"
        assert vault.text_of("[PERSON_1111111111]") is None
        vault.add([ENTRY._replace(text="john smith")])  # another spelling: the first stays
        assert vault.text_of(ENTRY.pseudonym) == "John SMITH"
        assert len(vault) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_is_readable_without_the_key(path):
    data = path.read_bytes().lower()
    assert b"smith" not in data
    with pytest.raises(DataError, match="sealed with another key"):
        Vault(path, OTHER)
    with pytest.raises(DataError, match="sealed with another key"):
        Vault(path, OTHER, create=True)


def test_lengths_do_not_tell_values_apart(tmp_path):
    with Vault(tmp_path / "v", KEY, create=True) as vault:
        vault.add([Entry("a", "x", "x"), Entry("b", "x" * 7, "x" * 7)])
    rows = sqlite3.connect(tmp_path / "v").execute("SELECT length(sealed) FROM entries").fetchall()
    assert len(set(rows)) == 1


def test_two_values_of_one_pseudonym_are_refused_and_nothing_is_added(path):
    with Vault(path, KEY) as vault:
        with pytest.raises(DataError, match=r"share the pseudonym .* another key file"):
            vault.add([Entry("[PERSON_2222222222]", "a", "a"), ENTRY._replace(value="jane")])
        assert len(vault) == 1


@pytest.mark.parametrize("length", [1, 100, 4096, 5000])
def test_a_truncated_vault(path, length):
    data = path.read_bytes()
    assert len(data) > 5000
    path.write_bytes(data[:length])
    with pytest.raises(DataError, match="is no vault, or a damaged one; restore it from a copy"):
        Vault(path, KEY)


@pytest.mark.parametrize("content", [b"", b"not a vault at all" * 100, os.urandom(8192)])
def test_what_is_no_vault(tmp_path, content):
    (tmp_path / "v").write_bytes(content)
    with pytest.raises(DataError, match="is no vault, or a damaged one"):
        Vault(tmp_path / "v", KEY)


def test_a_missing_vault(tmp_path):
    with pytest.raises(DataError, match="no vault"):
        Vault(tmp_path / "v", KEY)


def test_entries_that_were_exchanged_are_noticed(path):
    with Vault(path, KEY) as vault:
        vault.add([Entry("[PERSON_3333333333]", "jane", "Jane")])
    base = sqlite3.connect(path)
    base.execute(
        "UPDATE entries SET sealed = (SELECT sealed FROM entries WHERE name LIKE '%333]') "
        "WHERE name LIKE '%000]'"
    )
    base.commit()
    base.close()
    with Vault(path, KEY) as vault, pytest.raises(DataError, match="damaged"):
        vault.text_of(ENTRY.pseudonym)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        make_key(tmp_path / "file" / "k")


def test_renamed_origins_agree_and_tell_nothing():
    parent = Origin("aa" * 8, RowKind.SEED, None, "aa" * 8, "", "")
    child = Origin("bb" * 8, RowKind.AUGMENTED, "aa" * 8, "aa" * 8, "typo@1", "augment")
    one, two = KEY.renamed(parent), KEY.renamed(child)
    assert one.id == one.root == two.parent == two.root != parent.id
    assert (two.kind, two.recipe, two.step) == (child.kind, child.recipe, child.step)
    assert OTHER.renamed(parent).id != one.id
