"""Pieces of a stream are the whole text, whatever the cuts, and cost no more at the end."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretune.bases.fakes import tiny_base
from pretune.bases.load import load_base
from pretune.core.records import Chosen
from pretune.serving.answers import Piece
from pretune.serving.forms import Chat, Text
from pretune.serving.text import Letters, TextStream, stop_test, until_stop


def spell(ids) -> str:
    return bytes(ids).decode(errors="replace")


def decode(ids) -> str:
    return spell(ids).strip()


texts = st.text(st.sampled_from("ab€ 中😀\n"), max_size=20)
stops = st.lists(st.text(st.sampled_from("ab€ "), min_size=1, max_size=4), max_size=2)
garbage = st.lists(
    st.one_of(
        st.integers(0, 255).map(lambda byte: bytes([byte])),
        st.sampled_from([b"\xf0\x9f", b"\x98\x80", b"\xe4\xb8", b"\xad", b"a", b" ", b"\x80" * 5]),
        st.text(max_size=3).map(str.encode),
    ),
    max_size=60,
).map(b"".join)


def cut(data, ids: list[int]):
    while ids:
        size = data.draw(st.integers(1, min(len(ids), 9)))
        yield ids[:size]
        ids = ids[size:]


@given(texts, stops, st.data())
def test_pieces_are_the_whole(text, stops, data):
    stream = TextStream(spell, stops)
    pieces = [stream.add(ids) for ids in cut(data, list(text.encode()))]
    assert not any("\ufffd" in piece for piece in pieces)
    assert not any(stop in "".join(pieces) for stop in stops)
    pieces.append(stream.close())
    assert "".join(pieces) == stream.text == until_stop(text.strip(), stops)


@given(garbage, stops, st.data())
def test_pieces_of_any_bytes_are_the_whole(raw, stops, data):
    stream = TextStream(spell, stops)
    pieces = [stream.add(ids) for ids in cut(data, list(raw))]
    pieces.append(stream.close())
    assert "".join(pieces) == stream.text == until_stop(decode(raw), stops)


@given(garbage, st.data())
def test_what_is_told_and_the_tail_are_the_whole_at_any_time(raw, data):
    letters, told, seen = Letters(spell), "", b""
    for ids in cut(data, list(raw)):
        told, seen = told + letters.add(ids), seen + bytes(ids)
        assert told + letters.tail == spell(seen)


@pytest.mark.parametrize("base", ["tiny", "embedded"])
def test_pieces_of_a_real_tokenizers_ids_are_the_whole(base):
    renderer = (tiny_base() if base == "tiny" else load_base()).renderer
    vocabulary = 256 if base == "tiny" else len(renderer._tokenizer)

    @given(st.lists(st.integers(0, vocabulary - 1), max_size=50), st.data())
    def check(ids, data):
        stream = TextStream(renderer.spell)
        pieces = [stream.add(some) for some in cut(data, ids)]
        assert "".join([*pieces, stream.close()]) == renderer.decode(ids)

    check()


BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def fallback():
    """A decoder as Llama 2's: a word's space is written before it, and dropped at the beginning."""
    from tokenizers import decoders

    chain = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
         decoders.Strip(" ", 1, 0)]
    )  # fmt: skip
    words = [*BYTES, "▁a", "▁word", "s", "▁", "."]
    return words, lambda ids: chain.decode([words[i] for i in ids])


whole = st.text(st.sampled_from("€中😀é"), min_size=1, max_size=3).map(
    lambda text: list(text.encode())
)


@given(st.lists(st.one_of(st.integers(256, 260).map(lambda i: [i]), whole), max_size=40), st.data())
def test_pieces_of_words_that_fall_back_to_bytes_are_the_whole(parts, data):
    _, spelled = fallback()
    ids = [i for part in parts for i in part]
    stream = TextStream(spelled)
    pieces = [stream.add(some) for some in cut(data, ids)]
    assert "".join([*pieces, stream.close()]) == spelled(ids).strip()


@pytest.mark.parametrize("text", ["word ", "中", "\x80", "   ", "ab"])
def test_each_id_is_decoded_a_few_times_however_long_the_text(text):
    """Broken for ever, white space for ever, almost a stop text for ever."""
    ids, cost = list(text.encode(errors="replace")) * 600, Counter()
    if text == "\x80":
        ids = [0x80] * 2000

    def counted(some):
        cost["ids"] += len(some)
        return spell(some)

    stream = TextStream(counted, ["abb"])
    pieces = [stream.add([one]) for one in ids]
    assert "".join([*pieces, stream.close()]) == decode(ids)
    assert cost["ids"] < 120 * len(ids)  # with the whole each time: half of their number


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
    stream = TextStream(spell, ["END"])
    assert stream.add(list(b"the E")) == "the "
    assert stream.add(list(b"N")) == ""
    assert stream.add(list(b"ERGY")) == "ENERGY"
    assert stream.add(list(b" END and")) == " "
    assert stream.add(list(b" more")) == stream.close() == ""


@pytest.mark.parametrize(
    ("text", "stops", "expected"), [("a.b,c", [",", "."], "a"), ("a", [], "a")]
)
def test_the_first_stop_counts(text, stops, expected):
    assert until_stop(text, stops) == expected


def test_the_tokens_of_log_probabilities_keep_their_white_space():
    chosen = tuple(Chosen(byte, -1.0, ((byte, -1.0),)) for byte in b"a b")
    listed = Chat(spell, log_probs=True).piece(Piece(0, "a b", chosen))["logprobs"]
    assert [one["token"] for one in listed["content"]] == ["a", " ", "b"]
    assert listed["content"][1]["bytes"] == [32]
    part = (Chosen(0xE4, -1.0, ((0xE4, -1.0),)),)  # the first of three bytes of a character
    listed = Chat(spell, log_probs=True).piece(Piece(0, "", part))["logprobs"]
    assert listed["content"][0]["bytes"] is None
    assert listed["content"][0]["top_logprobs"][0]["bytes"] is None
    plain = Text(spell, log_probs=True).piece(Piece(0, "a b", chosen))["logprobs"]
    assert plain["tokens"] == ["a", " ", "b"]


def test_of_tokens_that_are_written_alike_the_best_is_told():
    chosen = (Chosen(0xE4, -0.5, ((0xE4, -0.5), (0xF0, -1.5), (ord("a"), -2.0))),)
    plain = Text(spell, log_probs=True).piece(Piece(0, "", chosen))["logprobs"]
    assert plain["top_logprobs"] == [{"\ufffd": -0.5, "a": -2.0}]
