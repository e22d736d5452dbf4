"""Every format yields rows with ids; a bad row costs itself only; a bad file is named."""

import json

import pytest

from pretune.core.errors import DataError
from pretune.core.records import Row
from pretune.data.rejected import Reason, Rejected
from pretune.data.sources import read_rows
from pretune.spec.data import HubSource

ROWS = [{"text": "a b", "label": "x"}, {"text": "二\u2028三", "label": "y"}]


def read(path, encoding="utf-8"):
    return list(read_rows(path, encoding))


def test_every_format_reads_the_same_rows(tmp_path):
    import pyarrow
    from pyarrow import parquet

    lines = [json.dumps(row, ensure_ascii=False) for row in ROWS]
    (tmp_path / "r.jsonl").write_text("\n".join(lines), "utf-8")
    (tmp_path / "r.json").write_text(json.dumps(ROWS, indent=1), "utf-8")
    (tmp_path / "r.csv").write_text('text,label\na b,x\n"二\u2028三",y\n', "utf-8")
    (tmp_path / "r.tsv").write_text("text\tlabel\na b\tx\n二\u2028三\ty\n", "utf-8")
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "r.parquet")
    for suffix in ("jsonl", "json", "csv", "tsv", "parquet"):
        assert [row.fields for row in read(tmp_path / f"r.{suffix}")] == ROWS, suffix


def test_hub_rows_and_the_network_switch_is_put_back(tmp_path):
    import datasets

    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "train.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    before = datasets.config.HF_HUB_OFFLINE
    source = HubSource(hub=str(tmp_path / "d"), allow_download=True)
    rows = list(read_rows(source))
    assert [row.fields["text"] for row in rows] == ["a", "b"]
    assert rows[1].id.endswith("/train:2")
    assert before == datasets.config.HF_HUB_OFFLINE


def test_hub_set_that_is_not_at_hand_is_not_fetched_unasked(monkeypatch):
    def fetch(*_, **__):
        pytest.fail("the network was asked")

    monkeypatch.setattr("huggingface_hub.HfApi.hf_hub_download", fetch)
    with pytest.raises(DataError, match=r'"no/such-set" is not at hand; set "allow_down'):
        list(read_rows(HubSource(hub="no/such-set")))


def test_ids_are_file_and_line_on_which_the_record_starts(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"t": 1}\r\n\n{"t":\r 2}\n{"t": 3}')
    assert [row.id for row in read(tmp_path / "a.jsonl")] == [
        "a.jsonl:1",
        "a.jsonl:3",
        "a.jsonl:4",
    ]
    (tmp_path / "a.csv").write_text('t,u\n"one\ntwo",1\nthree,2\n')
    assert [row.id for row in read(tmp_path / "a.csv")] == ["a.csv:2", "a.csv:4"]
    (tmp_path / "a.json").write_text('[\n {"t": 1},\n\n {"t":\n 2}, {"t": 3}]')
    assert [row.id for row in read(tmp_path / "a.json")] == ["a.json:2", "a.json:4", "a.json:5"]


def test_json_file_of_lines_is_read_as_lines(tmp_path):
    (tmp_path / "a.json").write_text('{"t": 1}\n{"t": 2}\n')
    assert [row.id for row in read(tmp_path / "a.json")] == ["a.json:1", "a.json:2"]


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ('{"text": "secret', "Unterminated string starting at at character 10"),
        ("[1, 2]", "the line holds a list, not an object"),
        ('{"n": ' + "9" * 5000 + "}", "not readable as JSON (ValueError)"),
        ('{"text": "\\ud83d"}', "half of a surrogate pair, which is no text"),
    ],
)
def test_broken_json_line_costs_itself_only(tmp_path, line, detail):
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "one"}}\n{line}\n{{"text": "three"}}\n')
    first, bad, last = read(path)
    assert (bad.row_id, bad.reason, bad.detail) == ("a.jsonl:2", Reason.BROKEN, detail)
    assert (first.id, last.id) == ("a.jsonl:1", "a.jsonl:3")


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_wrong_encoding_names_the_byte_and_an_encoding_that_fits(tmp_path, suffix):
    # "工单" is b9 a4 b5 a5 in GB18030: b9 is no first byte of UTF-8.
    text = '{"t": "工单"}\n' if suffix == "jsonl" else "t\n工单\n"
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(text.encode("gb18030"))
    (bad,) = read(path)
    assert bad.reason is Reason.ENCODING
    byte = 8 if suffix == "jsonl" else 1
    assert bad.detail == (
        f'byte {byte} of the line (0xb9) is not in encoding "utf-8"; '
        "it reads as gb18030: set data.encoding to gb18030"
    )
    (row,) = read(path, "gb18030")
    assert row.fields == {"t": "工单"}


def test_utf16_file_is_named_as_such_and_read_when_asked(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"t": "é"}\n'.encode("utf-16"))
    with pytest.raises(DataError, match=r"begins with the mark of utf-16; set data\.encoding"):
        read(path)
    assert [row.fields for row in read(path, "utf-16")] == [{"t": "é"}]


def test_csv_record_of_another_width_and_open_quote_are_rejected(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('t,u\n1\n2,3\n4,"open\n')
    short, good, broken = read(path)
    assert (short.row_id, short.detail) == ("a.csv:2", "1 cells under 2 columns")
    assert good.fields == {"t": "2", "u": "3"}
    assert (broken.row_id, broken.detail) == ("a.csv:4", "unexpected end of data; check the quotes")


def test_long_cells_and_quotes_in_tsv_are_plain(tmp_path):
    (tmp_path / "a.csv").write_text("t\n" + "x" * 200_000 + "\n")
    (row,) = read(tmp_path / "a.csv")
    assert len(row.fields["t"]) == 200_000
    (tmp_path / "a.tsv").write_text('t\n"one\ntwo\n')
    assert [row.fields["t"] for row in read(tmp_path / "a.tsv")] == ['"one', "two"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", '[{"t": 1}, {"t": }]', r'a\.json", line 1: Expecting value at character 18'),
        ("a.json", '[{"t": 1} {"t": 2}]', "Expecting ',' or '\\]'"),
        ("a.json", '[{"t": 1}]\n[{"t": 2}]', "line 2: Extra data after the array at character 1"),
        ("a.json", '[{"t": 1}]]', "line 1: Extra data after the array at character 11"),
        ("a.json", "3", "holds no array"),
        ("a.json", "", "holds no array"),
        ("a.csv", "t,t\n1,2\n", 'has two columns "t"'),
        ("a.parquet", "no parquet", r'a\.parquet" as Parquet after row 0'),
        ("a.xlsx", "", r'unknown file type "\.xlsx" .*known: \.jsonl, .*\.parquet'),
    ],
)
def test_file_that_is_broken_as_a_whole_is_named(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=words):
        read(tmp_path / name)


def test_two_columns_of_one_name_are_no_table(tmp_path):
    import pyarrow
    from pyarrow import parquet

    columns = [pyarrow.array(["1"]), pyarrow.array(["2"])]
    parquet.write_table(pyarrow.table(columns, names=["t", "t"]), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r'a\.parquet" has two columns "t"; rename one'):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("value", "times", "kind"), [("9", 5000, "Value"), ("[", 100_000, "Recursion")]
)
def test_a_json_file_with_what_python_cannot_hold_is_named(tmp_path, value, times, kind):
    (tmp_path / "a.json").write_text(f'[{{"t": 1}},\n{{"t":\n{value * times}}}]')
    with pytest.raises(DataError, match=rf"line 2: not readable as JSON \({kind}Error\)"):
        read(tmp_path / "a.json")


def test_a_table_with_what_python_cannot_hold_is_named(tmp_path):
    import pyarrow
    from pyarrow import parquet

    texts = pyarrow.Array.from_buffers(
        pyarrow.string(),
        1,
        [None, pyarrow.py_buffer(b"\0\0\0\0\1\0\0\0"), pyarrow.py_buffer(b"\xff")],
    )
    times = pyarrow.array([2**60], pyarrow.timestamp("us"))
    for column in (texts, times):
        parquet.write_table(pyarrow.table([column], names=["t"]), tmp_path / "a.parquet")
        with pytest.raises(DataError, match=r'a\.parquet" as Parquet after row 0'):
            read(tmp_path / "a.parquet")


def test_missing_file_names_the_near_one(tmp_path):
    (tmp_path / "tickets.jsonl").write_text("{}")
    with pytest.raises(DataError, match=r'no data file ".*tikets\.jsonl"; did you mean "tickets'):
        read(tmp_path / "tikets.jsonl")
    with pytest.raises(DataError, match=r"does not exist either"):
        read(tmp_path / "nowhere" / "a.jsonl")
    with pytest.raises(DataError, match="is a folder"):
        read(tmp_path)


def test_outcomes_are_rows_or_rejections(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"t": 1}\nx\n')
    assert [type(item) for item in read(tmp_path / "a.jsonl")] == [Row, Rejected]
