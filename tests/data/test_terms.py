"""Words, numbers and names of texts in English and Chinese."""

import doctest

import pytest

from pretune.data import terms as module
from pretune.data.terms import agreement, names, numbers, overlap, scripts, squeezed, terms
from pretune.data.textindex import TextIndex


def test_the_examples_in_the_docstrings():
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1,200.50 euros", {"1200.5"}),
        ("１２％ of 007", {"12", "7"}),
        ("2024年6月30日，300元", {"2024", "6", "30", "300"}),
        ("3,5 and 0.40", {"3", "5", "0.4"}),
        ("none", set()),
    ],
)
def test_numbers(text, found):
    assert numbers(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Ask Anna Reed. She knows.", {"Anna", "Reed"}),
        ("The IBAN is long", {"IBAN"}),
        ("- First\n- Second", set()),
        ("What was Warsaw's and the PDP-11's share", {"Warsaw", "PDP-11"}),
        ("DEC最初有三层，同意与BSkyB的诉讼", {"DEC", "BSkyB"}),
        ("按《支付结算办法》办理 ATM 取款", {"支付结算办法", "ATM"}),
    ],
)
def test_names(text, found):
    assert names(text) == found


def test_similarity_by_hand():
    assert overlap("the gold card", "the blue card") == 2 / 4
    assert agreement("20 euros a year", "20 euros") == 2 * 2 / 6
    assert agreement("a", "b") == 0.0
    assert terms("年费") == ["年费"]
    assert terms("2008's storm") == ["2008", "storm"]
    assert squeezed("**The** fee: 4 %") == "thefee4"
    assert scripts("金卡 ab") == {"CJK": 4 / 6, "LATIN": 2 / 6}


def test_search_finds_what_fits_best(tmp_path):
    path = tmp_path / "x.index"
    index = TextIndex(path)
    texts = [
        "the gold card costs 20",
        "the blue card costs 10",
        "金卡的年费为三百元",
        'a "quote" OR x',
    ]
    index.add((number, text, text.upper()) for number, text in enumerate(texts, 1))
    assert [number for number, _ in index.search("price of the gold card", 2)] == [1, 2]
    assert index.search("年费是多少", 3) == [(3, texts[2].upper())]
    assert [number for number, _ in index.search('"quote" NEAR', 3)] == [4]
    assert index.search("?!", 3) == []
    assert index.search("unknown", 3) == []
    index.close()
    assert not path.exists()


def test_equals_come_in_the_order_of_their_numbers():
    index = TextIndex()
    index.add((number, "the same words", "") for number in (3, 1, 2))
    assert [number for number, _ in index.search("same", 3)] == [1, 2, 3]
