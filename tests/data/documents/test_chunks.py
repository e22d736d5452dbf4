"""Chunks keep headings and tables, lose no word, and are no longer than they may be."""

from hypothesis import given
from hypothesis import strategies as st

from pretune.data.documents.blocks import Block, BlockKind, heading, paragraph, table
from pretune.data.documents.chunks import Chunk, chunks_of

HEADING, TEXT, TABLE, CODE = BlockKind


def chunks(*blocks, size):
    return list(chunks_of(blocks, size))


def test_a_section_is_a_chunk_below_its_headings():
    found = chunks(
        heading("Cards", 1),
        heading("Gold", 2),
        paragraph("The fee is 4 euros a month."),
        heading("Blue", 2),
        paragraph("The fee is 2 euros a month."),
        size=100,
    )
    assert found == [
        Chunk(("Cards", "Gold"), "The fee is 4 euros a month."),
        Chunk(("Cards", "Blue"), "The fee is 2 euros a month."),
    ]


def test_short_sections_share_a_chunk_with_their_headings_in_it():
    found = chunks(
        heading("Cards", 1),
        heading("Gold", 2),
        paragraph("4 euros."),
        heading("Blue", 2),
        paragraph("2 euros."),
        size=100,
    )
    assert found == [Chunk(("Cards",), "## Gold\n\n4 euros.\n\n## Blue\n\n2 euros.")]


def test_sections_of_one_name_are_two_sections():
    found = chunks(
        heading("Fees", 1), paragraph("One."), heading("Fees", 1), paragraph("Two."), size=100
    )
    assert found == [Chunk((), "# Fees\n\nOne.\n\n# Fees\n\nTwo.")]


def test_a_table_is_not_cut_if_it_fits():
    one = table([["card", "fee"], ["gold", "4"], ["blue", "2"]])
    found = chunks(paragraph("x" * 30), one, size=60)
    assert [chunk.text for chunk in found] == ["x" * 30, one.text]


def test_a_longer_table_is_cut_between_rows_and_has_its_head_each_time():
    found = chunks(table([["card", "fee"], *([f"card {n}", str(n)] for n in range(20))]), size=100)
    rows = [line for chunk in found for line in chunk.text.split("\n")[2:]]
    assert rows == [f"| card {n} | {n} |" for n in range(20)]
    assert {chunk.text.split("\n")[0] for chunk in found} == {"| card | fee |"}
    assert all(len(chunk.text) <= 101 for chunk in found)


def test_a_row_or_a_head_longer_than_a_chunk_is_cut_too():
    found = chunks(table([["card", "fee"], ["x " * 200, "1"]]), size=100)
    assert all(len(chunk.text) <= 101 for chunk in found)
    found = chunks(table([["h " * 200, "fee"], ["gold", "4"]]), size=100)
    assert all(len(chunk.text) <= 101 for chunk in found)


def test_long_text_is_cut_after_sentences():
    found = chunks(
        paragraph("The fee is 4. The rate is 5. 年费为三百元。利率为百分之五。"), size=20
    )
    assert [chunk.text for chunk in found] == [
        "The fee is 4.",
        "The rate is 5.",
        "年费为三百元。利率为百分之五。",
    ]


def test_what_cannot_be_seen_is_no_text():
    assert chunks(heading("\ufeff", 1), paragraph("\u200b"), size=100) == []
    assert paragraph("wo\u00adrd\u200b").text == "word"


BLOCKS = st.one_of(
    st.builds(Block, st.just(TEXT), st.text("ab .。", min_size=1, max_size=120)),
    st.builds(Block, st.just(CODE), st.text("ab \n", min_size=1, max_size=80)),
    st.builds(
        lambda rows: table([["H", "K"], *rows]),
        st.lists(st.lists(st.text("ab ", max_size=30), min_size=2, max_size=2), max_size=6),
    ),
    st.builds(Block, st.just(HEADING), st.text("ABC", min_size=1, max_size=8), st.integers(1, 4)),
)


@given(st.lists(BLOCKS, max_size=12), st.integers(5, 60))
def test_no_letter_is_lost_and_no_piece_is_too_long(blocks, size):
    found = list(chunks_of(blocks, size))
    letters = "".join(filter(str.islower, "".join(block.text for block in blocks)))
    assert "".join(filter(str.islower, "".join(chunk.text for chunk in found))) == letters
    for chunk in found:
        pieces = [part for part in chunk.text.split("\n\n") if not part.strip().startswith("#")]
        assert sum(map(len, pieces)) <= size + 1
