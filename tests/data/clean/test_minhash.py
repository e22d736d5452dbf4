"""Near-duplicates: the estimate is of the Jaccard similarity, and what is alike is found."""

from contextlib import ExitStack, closing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretune.data.clean.minhash import Signatures, fold, near_pairs, shingles, signature

WORDS = st.lists(
    st.sampled_from(["card", "fee", "bank", "pay", "now", "lost", "转账", "失败", "了", "申请"]),
    min_size=3,
)


def grams(text):
    folded = fold(text)
    return {folded[i : i + 4] for i in range(max(1, len(folded) - 3))}


@settings(max_examples=60)
@given(WORDS, WORDS)
def test_the_estimate_is_near_the_jaccard_similarity(first, second):
    one, two = " ".join(first), " ".join(first[: len(first) // 2] + second)
    assert len(shingles(one)) == len(grams(one))
    exact = len(grams(one) & grams(two)) / len(grams(one) | grams(two))
    estimate = (signature(one) == signature(two)).mean()
    assert abs(exact - estimate) < 0.2  # sigma is 0.044 at most


def test_width_case_and_spaces_make_no_difference():
    assert fold("Ａ  Card\n") == "a card"
    assert (signature("Ａ  CARD is\tlost") == signature("a card is lost")).all()


@pytest.mark.parametrize("text", ["", "a", "一", "ab\U0001f600"])
def test_texts_shorter_than_a_shingle(text):
    assert (signature(text) == signature(text)).all()
    assert (signature(text) != signature("quite another text")).any()


@pytest.fixture
def opened(tmp_path):
    with ExitStack() as stack:
        yield lambda texts: stack.enter_context(closing(Signatures(tmp_path / "s", texts)))


def test_signatures_are_read_as_they_were_written(opened):
    texts = [f"row {n} of some" for n in range(50)]
    signatures = opened(texts)
    whole = np.stack([signature(text) for text in texts])
    assert (signatures[:100] == whole).all()
    some = np.array([7, 3, 49, 3])
    assert (signatures[some] == whole[some]).all()
    assert signatures.alike(some, np.array([7, 4, 49, 3])).tolist()[::2] == [1.0, 1.0]


def test_pairs_are_found_and_others_are_not(opened):
    texts = [f"row {n}: {w} is what customer number {n * 7919} asks for" for n, w in
             enumerate(["card", "loan", "fee", "pin", "limit"] * 40)]  # fmt: skip
    near = [t.replace("what", "that") for t in texts[:50]]
    signatures = opened(iter([*texts, *near]))
    exact = {
        (i, 200 + i)
        for i in range(50)
        if len(grams(texts[i]) & grams(near[i])) / len(grams(texts[i]) | grams(near[i])) > 0.9
    } or {(i, 200 + i) for i in range(50)}
    found = {
        (min(a, b), max(a, b))
        for ones, others in near_pairs(signatures, 0.75)
        for a, b in zip(ones.tolist(), others.tolist(), strict=True)
    }
    assert exact <= found


def test_many_equal_rows_cost_no_more_than_their_number(opened):
    signatures = opened(["the same text again"] * 3000)
    pairs = sum(len(ones) for ones, _ in near_pairs(signatures, 0.8))
    assert pairs <= 2 * 3000 * 32


def test_no_rows(opened):
    signatures = opened([])
    assert (len(signatures), signatures[:5].shape) == (0, (0, 128))
    assert list(near_pairs(signatures, 0.8)) == []
