"""What any recogniser found is covered, once; offsets of folded texts lead back."""

from hypothesis import given
from hypothesis import strategies as st

from pretune.data.privacy.detector import Detector
from pretune.data.privacy.folding import fold
from pretune.data.privacy.found import Found, PrivateType, resolve

TEXT = "ab 12, cd-34 ef. gh 56 ij"


@st.composite
def findings(draw):
    start = draw(st.integers(0, len(TEXT) - 1))
    end = draw(st.integers(start + 1, len(TEXT)))
    kind = draw(st.sampled_from(PrivateType))
    return Found(start, end, kind, TEXT[start:end], draw(st.sampled_from([0.5, 0.9])))


@given(st.lists(findings(), max_size=12))
def test_all_that_was_found_is_covered_and_nothing_twice(found):
    held = resolve(TEXT, found)
    wanted = {p for one in found for p in range(one.start, one.end) if TEXT[p].isalnum()}
    places = [p for one in held for p in range(one.start, one.end)]
    assert len(places) == len(set(places))
    assert wanted <= set(places)
    assert set(places) <= {p for one in found for p in range(one.start, one.end)}
    assert held == sorted(held) == resolve(TEXT, reversed(found))


def one(start, end, kind, certainty=0.5):
    return Found(start, end, PrivateType[kind], TEXT[start:end], certainty)


def test_the_longest_wins_and_of_equals_the_most_certain():
    assert resolve(TEXT, [one(3, 5, "ID", 0.9), one(0, 9, "PHONE")]) == [one(0, 9, "PHONE")]
    assert resolve(TEXT, [one(0, 9, "ID", 0.9), one(0, 9, "PHONE")]) == [one(0, 9, "ID", 0.9)]


def test_what_is_covered_in_part_keeps_the_rest():
    first, second = resolve(TEXT, [one(0, 9, "PHONE"), one(7, 12, "PLATE")])
    assert first == one(0, 9, "PHONE")
    assert (TEXT[second.start : second.end], second.type, second.value) == ("34", "PLATE", "34")


TRICKY = st.text(
    st.sampled_from("1 3800９０\u200b\u00ad\ufe0f\u20e3-－a＠@.．路号张伟，：　\x00\n")
    | st.characters(),
    max_size=40,
)


@given(TRICKY)
def test_folded_places_are_those_of_the_source(text):
    folded = fold(text)
    assert len(folded.places) == len(folded.text) + 1
    for place, plain in enumerate(folded.text):
        source = text[folded.places[place]]
        assert plain == source or not source.isascii()
    assert list(folded.places) == sorted(set(folded.places))


@given(TRICKY)
def test_any_text_is_taken(text):
    for found in Detector().find(text):
        assert 0 <= found.start < found.end <= len(text)
