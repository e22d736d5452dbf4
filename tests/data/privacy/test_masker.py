"""One value, one pseudonym; spans and answers move along; what was masked comes back."""

import json
import math
import re
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretune.core.protocols import Masker
from pretune.data.privacy.found import Found, PrivateType
from pretune.data.privacy.keyfile import Key
from pretune.data.privacy.masker import Unmasker, VaultMasker
from pretune.data.privacy.pseudonyms import PSEUDONYM, pseudonym
from pretune.data.privacy.rows import NotText, SpansLost
from pretune.data.privacy.vault import Vault
from within import within

KEY = Key(bytes(range(32)))


@pytest.fixture
def masker(tmp_path):
    with VaultMasker(KEY, tmp_path / "vault") as made:
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("any")


def unmasked(tmp_path, fields):
    with Vault(tmp_path / "vault", KEY) as vault:
        return Unmasker(vault).unmask_fields(fields)


def names(text):
    return [match[0] for match in PSEUDONYM.finditer(text)]


def test_it_is_a_masker(masker):
    used: Masker = masker
    assert "a@b.com" not in used.mask("a@b.com")


def test_spellings_of_one_value_share_a_pseudonym(masker):
    text = "13800138000, +86 138-0013-8000, １３８ ００１３ ８０００, JO@X.com, jo@x.com"
    found = names(masker.mask(text))
    assert len(found) == 5
    assert len(set(found[:3])) == len(set(found[3:])) == 1
    assert masker.counts == {PrivateType.PHONE: 3, PrivateType.EMAIL: 2}


def test_a_pseudonym_follows_from_the_key_alone(tmp_path):
    texts = ["a@b.com", "c@d.com"]
    with VaultMasker(KEY, tmp_path / "one") as one, VaultMasker(KEY, tmp_path / "two") as two:
        assert [one.mask(text) for text in texts] == [two.mask(t) for t in texts[::-1]][::-1]
    with VaultMasker(Key(bytes(32)), tmp_path / "three") as other:
        assert other.mask("a@b.com") != pseudonym(KEY.naming, PrivateType.EMAIL, "a@b.com")


def test_masking_twice_changes_nothing_more(masker):
    once = masker.mask("My name is John Smith, password: hunter2, account 12345678")
    assert len(names(once)) == 3
    assert masker.mask(once) == once


def test_answers_and_spans_move_along(masker):
    row = {
        "text": "Pay John Smith 100 to 12345678 (account 12345678).",
        "answer": '{"payee": "John Smith", "account": "12345678"}',
        "label": "payment",
        "spans": [
            {"type": "payee", "text": "John Smith", "start": 4, "end": 14},
            {"type": "amount", "text": "100", "start": 15, "end": 18},
            {"type": "verb", "text": "Pay John", "start": 0, "end": 8},
        ],
        "turns": [{"role": "user", "content": "I am John Smith"}],
        "_origin": {"id": "00"},
    }
    masked = masker.mask_fields(row)
    assert list(masked) == list(row)
    assert (masked["label"], masked["_origin"]) == ("payment", {"id": "00"})
    person, account = names(masked["answer"])
    assert json.loads(masked["answer"]) == {"payee": person, "account": account}
    assert names(masked["text"]) == [person, account, account]
    assert names(masked["turns"][0]["content"]) == [person]
    for span in masked["spans"]:
        assert masked["text"][span["start"] : span["end"]] == span["text"]
    assert [span["text"] for span in masked["spans"]] == [person, "100", f"Pay {person}"]


def test_numbers_that_are_private_become_texts(masker):
    masked = masker.mask_fields({"phone": 13800138000, "amount": 1500000, "n": 7, "ok": True})
    assert names(masked["phone"])
    assert (masked["amount"], masked["n"], masked["ok"]) == (1500000, 7, True)


@pytest.mark.parametrize("value", [13800138000.0, Decimal("13800138000.00"), b"13800138000"])
def test_a_number_is_found_in_whatever_type_a_table_gives_it(masker, value):
    row = {"phone": value, "deep": [{"inner": ("see", value)}]}
    masked = masker.mask_fields(row)
    once = masker.mask("13800138000")
    assert masked == {"phone": once, "deep": [{"inner": ["see", once]}]}
    assert names(once)


def test_bytes_are_read_as_text_and_refused_where_they_are_none(masker):
    masked = masker.mask_fields({"note": b"call John Smith", "name": "John Smith"})
    assert masked["note"] == f"call {masked['name']}"
    with pytest.raises(NotText, match='"scan" are no UTF-8 text'):
        masker.mask_fields({"name": "John Smith", "scan": [b"\xff\xd8John Smith"]})
    assert masker.counts == {PrivateType.PERSON: 2}


def test_what_cannot_be_private_keeps_its_type(masker):
    row = {"mail": "a@b.com", "phone": 0.5, "account": math.inf, "login": date(2024, 3, 14)}
    masked = masker.mask_fields({**row, "price": Decimal("138001.5"), "ok": None})
    assert masked == {**row, "mail": masked["mail"], "price": Decimal("138001.5"), "ok": None}


class Told:
    """Finds what stands in angle brackets."""

    def find(self, text, column=""):
        return [
            Found(*match.span(1), PrivateType.PERSON, match[1], 1.0)
            for match in re.finditer("<([^<>]+)>", text)
        ]


def test_what_many_blocks_gave_away_is_looked_for_in_linear_time(tmp_path):
    """Of a square of time the blocks would take minutes."""
    customers = [f"Customer {n:05}" for n in range(20_000)]
    blocks = [f"<{one}> and {customers[-n]}" for n, one in enumerate(customers, 1)]
    with within(60), VaultMasker(KEY, tmp_path / "vault", Told()) as masker:
        masked = masker.mask_fields({"": blocks})[""]
    assert [names(text)[1] for text in masked] == [names(text)[0] for text in masked][::-1]


@given(
    known=st.lists(st.text("Jo 小明", min_size=2, max_size=6), min_size=1, max_size=4),
    rest=st.text("Jo 小明", max_size=20),
)
def test_what_one_text_gave_away_is_found_wherever_no_word_goes_on(shared, known, rest):
    fields = {"told": "".join(f"<{one}>" for one in known), "rest": rest}
    with VaultMasker(KEY, shared / "vault", Told()) as masker:
        masked = masker.mask_fields(fields)["rest"]
    hidden = set()
    for one in known:
        if len(one) >= (2 if set(one) & set("小明") else 4):
            for match in re.finditer(rf"(?=({re.escape(one)}))", rest):
                start, end = match.span(1)
                inside = [rest[max(0, at - 1) : at + 1] for at in (start, end)]
                if not any(re.fullmatch("[Jo]{2}", beside) for beside in inside):
                    hidden |= set(range(start, end))
    left = "".join(one for at, one in enumerate(rest) if at not in hidden)
    assert PSEUDONYM.sub("", masked).replace(" ", "") == left.replace(" ", "")


SPANS = [{"type": "x", "start": 0, "end": 3}]


def test_spans_without_texts_need_their_column(tmp_path, masker):
    row = {"question": "see a@b.com", "other": "abc", "marks": SPANS}
    with pytest.raises(SpansLost, match='"marks" fit no text'):
        masker.mask_fields(row)
    assert not masker.counts
    with VaultMasker(KEY, tmp_path / "other", homes={"marks": "question"}) as told:
        assert told.mask_fields(row)["marks"] == SPANS
    assert masker.mask_fields({"question": "nothing", "marks": SPANS})["marks"] == SPANS


def test_what_was_masked_comes_back(tmp_path, masker):
    row = {
        "text": "我叫王小芳，电话13800138000，mail a@b.com，住在上海市世纪大道100号。",
        "spans": [{"type": "p", "text": "王小芳", "start": 2, "end": 5}],
    }
    masked = masker.mask_fields(row)
    assert len(names(masked["text"])) == 4
    masker.keep()
    assert unmasked(tmp_path, masked) == row


PARTS = st.sampled_from(
    ["John Smith", "a@b.com", "13800138000", "京A12345", "password: hunter2", "王小芳", "1", ",",
     " ", "，", "[PERSON_", "]", "\u200b", "4111 1111 1111 1111", "我叫", "12 High Street", "é"]
)  # fmt: skip


@settings(max_examples=60)
@given(columns=st.lists(st.lists(PARTS, max_size=8).map("".join), max_size=3))
def test_any_row_comes_back_but_for_spelling(shared, columns):
    fields = {f"c{n}": text for n, text in enumerate(columns)}
    with VaultMasker(KEY, shared / "vault") as masker:
        masked = masker.mask_fields(fields)
        again = masker.mask_fields(masked)
    for column, text in masked.items():
        assert set(names(text)) <= set(names(again[column]))  # pseudonyms are left alone
    back = unmasked(shared, masked)

    def plain(value):
        return "".join(filter(str.isalnum, json.dumps(value, ensure_ascii=False).casefold()))

    assert plain(back) == plain(fields)


def test_unknown_pseudonyms_stay_and_are_counted(tmp_path, masker):
    strange = "[PERSON_0000000000] met [PHONE_zzzzzzzzzz]"
    with Vault(tmp_path / "vault", KEY) as vault:
        unmasker = Unmasker(vault)
        assert unmasker.unmask_fields({"text": strange}) == {"text": strange}
    assert unmasker.unknown == 2
