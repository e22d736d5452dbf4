"""Pieces of a stream are the whole text, whatever the cuts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretune.serving.text import TextStream, stop_test, until_stop


def decode(ids) -> str:
    return bytes(ids).decode(errors="replace").strip()


texts = st.text(st.sampled_from("ab€ 中\n"), max_size=20)
stops = st.lists(st.text(st.sampled_from("ab€"), min_size=1, max_size=4), max_size=2)


@given(texts, stops, st.data())
def test_pieces_are_the_whole(text, stops, data):
    ids = list(text.encode())
    stream, pieces = TextStream(decode, stops), []
    while ids:
        size = data.draw(st.integers(1, len(ids)))
        pieces.append(stream.add(ids[:size]))
        ids = ids[size:]
    assert not any("\ufffd" in piece for piece in pieces)
    assert not any(stop in "".join(pieces) for stop in stops)
    pieces.append(stream.close())
    assert "".join(pieces) == until_stop(text.strip(), stops)


@given(texts, st.lists(st.text(st.sampled_from("ab€"), min_size=1, max_size=4), min_size=1))
def test_the_stop_test_is_true_once_a_stop_text_is_there(text, stops):
    ids = list(text.encode())
    test = stop_test(decode, stops)
    found = next((end for end in range(len(ids) + 1) if test(ids[:end])), None)
    expected = next(
        (e for e in range(len(ids) + 1) if any(stop in decode(ids[:e]) for stop in stops)), None
    )
    assert found == expected


def test_a_stop_text_is_held_back_until_it_is_known():
    stream = TextStream(decode, ["END"])
    assert stream.add(list(b"the E")) == "the "
    assert stream.add(list(b"N")) == ""
    assert stream.add(list(b"ERGY")) == "ENERGY"


@pytest.mark.parametrize(
    ("text", "stops", "expected"), [("a.b,c", [",", "."], "a"), ("a", [], "a")]
)
def test_the_first_stop_counts(text, stops, expected):
    assert until_stop(text, stops) == expected
