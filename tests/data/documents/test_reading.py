"""Every kind of document is read; every bad one ends in a message and costs itself alone."""

import json
import os
from pathlib import Path

import pytest

from data.documents import makers
from pretune.core.errors import DataError, MissingExtra
from pretune.data.documents import formats
from pretune.data.documents.blocks import Block, BlockKind, Unreadable
from pretune.data.documents.formats import need_packages
from pretune.data.documents.reading import Reading
from pretune.data.documents.step import find_documents, write_chunks
from pretune.data.workshop.lineage import read_lineage
from pretune.spec.distil import ChunkSpec, LimitSpec

HEADING, TEXT, TABLE, CODE = BlockKind
CARDS = [["card", "fee"], ["gold", "4"], ["blue", "2"]]
AS_TABLE = Block(TABLE, "| card | fee |\n| --- | --- |\n| gold | 4 |\n| blue | 2 |")


@pytest.fixture(scope="module")
def reading():
    with Reading(LimitSpec(megabytes=8, pages=2000)) as one:
        yield one


def read(reading, path):
    return list(reading.blocks(path))


def refusal(reading, path):
    with pytest.raises(Unreadable) as refused:
        read(reading, path)
    return str(refused.value)


def test_text(reading, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(
        "Fees\n====\n\nThe fee\nis 4.\n\n1.2 Blue card\n\nIt is 2.\n\n"
        "第一章　总则\n本办法自\n发布之日起施行。\n"
    )
    assert read(reading, path) == [
        Block(HEADING, "Fees", 1),
        Block(TEXT, "The fee is 4."),
        Block(HEADING, "1.2 Blue card", 2),
        Block(TEXT, "It is 2."),
        Block(HEADING, "第一章 总则", 2),
        Block(TEXT, "本办法自发布之日起施行。"),
    ]


def test_markdown(reading, tmp_path):
    path = tmp_path / "a.md"
    path.write_text(
        "---\ntitle: x\n---\n# Fees\n\nThe *fee*\nis 4.\n\n"
        "|card|fee|\n|---|---|\n|gold|4|\n|blue|2|\n\n"
        "1. one\n2. two\n\n```sh\nrun  it\n```\n"
    )
    assert read(reading, path) == [
        Block(HEADING, "Fees", 1),
        Block(TEXT, "The fee is 4."),
        AS_TABLE,
        Block(TEXT, "- one"),
        Block(TEXT, "- two"),
        Block(CODE, "run  it"),
    ]


def test_html(reading, tmp_path):
    path = tmp_path / "a.html"
    path.write_text(
        "<html><head><title>t</title><style>p{}</style></head><body><nav>menu</nav>"
        "<h2>Fees</h2><div>The fee <b>is</b> 4.<p>It is<br>due.</p>Now.</div>"
        "<table><tr><th>card<th>fee<tr><td>gold<td>4<tr><td>blue<td>2</table>"
        "<table><tr><td rowspan=2>k<td colspan=2>v<tr><td>1<td>2</table>"
        "<table><tr><td>only layout</table><script>x</script></body></html>"
    )
    assert read(reading, path) == [
        Block(HEADING, "Fees", 2),
        Block(TEXT, "The fee is 4."),
        Block(TEXT, "It is due."),
        Block(TEXT, "Now."),
        AS_TABLE,
        Block(TABLE, "| k | v |  |\n| --- | --- | --- |\n| k | 1 | 2 |"),
        Block(TEXT, "only layout"),
    ]


def test_word(reading, tmp_path):
    path = makers.docx(
        tmp_path / "a.docx",
        makers.paragraph("Fees", style="1"),
        makers.paragraph("The fee is 4."),
        makers.table(CARDS),
    )
    assert read(reading, path) == [
        Block(HEADING, "Fees", 1),
        Block(TEXT, "The fee is 4."),
        AS_TABLE,
    ]


def test_pdf(reading, tmp_path):
    page = makers.lines((18, "Fees of cards"), (10, "The fee is 4."))
    bold = makers.lines((10, "Due dates"), font="F2", top=650)
    last = makers.lines((10, "It is due in May."), top=620)
    path = makers.pdf(tmp_path / "a.pdf", "\n".join([page, bold, last, makers.grid(CARDS)]))
    assert read(reading, path) == [
        Block(HEADING, "Fees of cards", 1),
        Block(TEXT, "The fee is 4."),
        Block(HEADING, "Due dates", 2),
        Block(TEXT, "It is due in May."),
        AS_TABLE,
    ]


def test_running_lines_of_a_pdf_are_left_out(reading, tmp_path):
    pages = [
        makers.lines((10, f"Page {n} of 5"), (10, f"Fact number {n} is here."), (10, "Acme Bank"))
        for n in range(1, 6)
    ]
    blocks = read(reading, makers.pdf(tmp_path / "a.pdf", *pages))
    assert [block.text for block in blocks] == [f"Fact number {n} is here." for n in range(1, 6)]


def test_2000_pages(reading, tmp_path):
    pages = [makers.lines((10, f"Fact {n} stands here."))[:200] for n in range(2001)]
    assert read(reading, makers.pdf(tmp_path / "a.pdf", *pages[:300]))[-1].text == (
        "Fact 299 stands here."
    )
    assert refusal(reading, makers.pdf(tmp_path / "b.pdf", *pages)) == (
        "has 2,001 pages, more than the 2,000 allowed; split it, or raise limits.pages"
    )


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", "第一条 金卡".encode("gb18030") * 20, None),
        ("a.txt", "café au lait à la carte".encode("latin-1"), None),
        ("a.txt", "金卡年费".encode("utf-16"), None),
        ("a.txt", "金卡\n蓝卡\n".encode() + "白卡年费".encode("gbk"), "mixes encodings: .* line 3"),
        ("a.txt", b"PK\0\0\1", "holds zero bytes"),
        ("a.pdf", b"%PDF-1.7 rubbish", "is damaged, or no PDF"),
        ("a.docx", b"PK rubbish", "is damaged, or no .docx"),
        ("a.docx", bytes.fromhex("d0cf11e0a1b11ae1") + b"x" * 99, "is encrypted, or an old .doc"),
        ("a.md", b"x" * (9 << 20), "has 9 MB, more than the 8 allowed"),
        ("a.html", b"<div>" * 100_000 + b"x", None),
        ("a.md", b"> " * 100_000 + b"x", None),
    ],
)
def test_bytes(reading, tmp_path, name, content, said):
    path = tmp_path / name
    path.write_bytes(content)
    if said is None:
        list(reading.blocks(path))
        return
    with pytest.raises(Unreadable, match=said):
        read(reading, path)


def test_encodings_are_read_right(reading, tmp_path):
    said = "第一条 为了规范银行卡业务，制定本办法。金卡的年费为三百元。"
    for encoding in ("utf-8", "utf-8-sig", "gb18030", "big5hkscs", "utf-16"):
        text = said if encoding != "big5hkscs" else "第一條 為了規範銀行卡業務，制定本辦法。" * 3
        path = tmp_path / f"{encoding}.txt"
        path.write_bytes(text.encode(encoding))
        assert "".join(block.text for block in read(reading, path)) == text


def test_an_encrypted_pdf(reading, tmp_path):
    path = makers.pdf(tmp_path / "a.pdf", makers.lines((10, "x")), trailer=makers.ENCRYPTED)
    assert refusal(reading, path) == "is encrypted; save it without a password"


def test_a_scanned_pdf(reading, tmp_path):
    path = makers.pdf(tmp_path / "a.pdf", *["0 0 100 100 re f"] * 3)
    assert "holds no text on the 3 pages looked at, so it is scanned" in refusal(reading, path)


def test_a_zip_bomb(reading, tmp_path):
    bomb = makers.docx(tmp_path / "a.docx", makers.paragraph("x"), bomb=b"0" * (9 << 20))
    assert bomb.stat().st_size < 100_000
    assert "unpacks to 9 MB, more than the 8 allowed" in refusal(reading, bomb)


def test_a_zip_bomb_that_lies_about_its_size_is_not_unpacked(reading, tmp_path):
    bomb = makers.docx(tmp_path / "a.docx", makers.paragraph("x" * (9 << 20)))
    assert "unpacks to 9 MB" in refusal(reading, bomb)
    makers.patch_entries(bomb, makers.UNPACKED_SIZE, (99).to_bytes(4, "little"))
    assert refusal(reading, bomb).startswith("is damaged, or no .docx")


def test_a_docx_whose_members_are_encrypted(reading, tmp_path):
    path = makers.docx(tmp_path / "a.docx", makers.paragraph("x"))
    makers.patch_entries(path, makers.FLAGS, (1).to_bytes(2, "little"))
    assert refusal(reading, path) == "is encrypted; save it without a password"


def test_entities_that_multiply_end_in_a_message(reading, tmp_path):
    entities = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9))
    path = tmp_path / "a.docx"
    makers.docx(path, makers.paragraph("x"))
    makers.replace_member(
        path,
        "word/document.xml",
        f'<?xml version="1.0"?><!DOCTYPE w [<!ENTITY e0 "ha">{entities}]><w>&e9;</w>',
    )
    assert refusal(reading, path).startswith(("breaks its reader", "needs more memory"))


def test_time_and_memory_end_in_a_message_and_the_next_document_is_read(tmp_path):
    good, slow = tmp_path / "good.txt", tmp_path / "slow.txt"
    good.write_text("It is read.")
    os.mkfifo(slow)  # whoever reads it waits for a writer
    with Reading(LimitSpec(seconds=3)) as reading:
        assert "took more than 3 seconds" in refusal(reading, slow)
        assert read(reading, good) == [Block(TEXT, "It is read.")]
    big = tmp_path / "big.txt"
    with big.open("wb") as file:
        file.truncate(290 << 20)
    with Reading(LimitSpec(memory_megabytes=256, megabytes=300)) as reading:
        assert "memory" in refusal(reading, big)
        assert read(reading, good) == [Block(TEXT, "It is read.")]


def test_a_reader_that_dies_costs_one_document(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one\n\ntwo\n\nthree")
    with Reading(LimitSpec()) as reading:
        blocks = reading.blocks(path)
        next(blocks)
        blocks.close()  # somebody who does not want the rest
        assert len(read(reading, path)) == 3
        reading._process.kill()
        assert "ended the process" in refusal(reading, path)
        assert len(read(reading, path)) == 3


def test_a_missing_package_is_said_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setitem(formats.FORMATS, ".pdf", formats.Format("x", ("no_such_package",)))
    with pytest.raises(MissingExtra, match=r"reading .pdf files needs .*pretune\[documents\]"):
        need_packages([tmp_path / "a.pdf"])


def test_a_folder_says_what_became_of_each_document(tmp_path):
    home, out = tmp_path / "in", tmp_path / "out"
    (home / "sub" / ".git").mkdir(parents=True)
    (home / "sub" / "good.md").write_text("# A\n\nIt is read.")
    (home / "bad.pdf").write_bytes(b"rubbish")
    (home / "empty.txt").write_text(" \n")
    (home / "x.jpg").write_bytes(b"")
    (home / "sub" / ".git" / "hidden.md").write_text("x")
    done = write_chunks(home, out, ChunkSpec(), LimitSpec())
    assert done.rows == {"chunks": 1, "documents": 3}
    assert done.counts == {
        "documents read": 1,
        "documents refused": 2,
        "not a document: .jpg": 1,
    }
    said = (out / "documents.jsonl").read_text()
    assert '"document": "bad.pdf"' in said
    assert "is damaged, or no PDF" in said
    assert "holds no text" in said
    assert write_chunks(home, out, ChunkSpec(), LimitSpec()).rows == done.rows  # as it was


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    home = tmp_path / "in"
    home.mkdir()
    (tmp_path / "key.txt").write_text("secret")
    (home / "good.txt").write_text("It is read.")
    (home / "own.txt").symlink_to("good.txt")
    (home / "notes.txt").symlink_to(tmp_path / "key.txt")
    (home / "broken.txt").symlink_to("../nowhere.txt")
    (home / "loop.txt").symlink_to("loop.txt")
    (home / "above").symlink_to("..")
    found, others = find_documents(home)
    assert list(found) == ["good.txt", "own.txt"]
    assert others == {"a link out of the folder": 3}
    for name in ("good.txt", "own.txt"):
        (home / name).unlink()
    said = r"holds no document; known: .txt.*; links that lead out of it are not followed: 3"
    with pytest.raises(DataError, match=said):
        find_documents(home)


def test_names_that_are_no_utf_8_are_told_by_their_bytes(tmp_path):
    home = os.fsencode(tmp_path) + b"/in\xff"
    try:
        os.makedirs(home + b"/sub\xe9")
    except OSError:
        pytest.skip("this file system has names of UTF-8 only")
    for name in (b"/sub\xe9/caf\xe9.txt", b"/z.j\xff"):
        with open(home + name, "w") as file:
            file.write("It is read.")
    done = write_chunks(Path(os.fsdecode(home)), tmp_path / "out", ChunkSpec(), LimitSpec())
    assert done.counts == {"documents read": 1, r"not a document: .j\xff": 1}
    line = json.loads((tmp_path / "out" / "documents.jsonl").read_text())
    assert line["document"] == r"sub\xe9/caf\xe9.txt"
    (step,) = read_lineage(tmp_path / "out")
    assert step["recipe"].startswith(r"in\xff@")


def test_no_document_at_all(tmp_path):
    with pytest.raises(DataError, match=r"no folder .*nowhere"):
        find_documents(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"holds no document; known: .txt"):
        find_documents(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.pdf").write_bytes(b"rubbish")
    with pytest.raises(DataError, match=r'no document gives a chunk: "a.pdf" is damaged'):
        write_chunks(tmp_path / "in", tmp_path / "out", ChunkSpec(), LimitSpec())


def test_a_long_pdf_becomes_chunks_and_loses_nothing(tmp_path):
    names = [f"{'ABCDEFGH'[n % 8]}{'aeiou'[n // 8 % 5]}{'klmnprst'[n // 40]}o" for n in range(12)]
    pages = [
        makers.lines(
            (10, f"What {name} holds is told here."),
            (18, f"The fund {name}"),
            *((10, f"Clause {line} of {name} costs {line * 3} euros.") for line in range(1, 31)),
            (10, f"So much for {name}."),
        )
        for name in names
    ]
    (tmp_path / "in").mkdir()
    makers.pdf(tmp_path / "in" / "a.pdf", *pages)
    done = write_chunks(tmp_path / "in", tmp_path / "out", ChunkSpec(size=800), LimitSpec())
    chunks = [json.loads(x) for x in (tmp_path / "out/chunks.jsonl").read_text().splitlines()]
    assert done.rows == {"chunks": len(chunks), "documents": 1}
    assert len(chunks) >= 2 * len(names)  # a page is longer than a chunk
    text = "\n".join(one["text"] for one in chunks)
    places = [text.index(f"Clause 30 of {name} costs 90 euros.") for name in names]
    assert places == sorted(places)
    assert all(text.count(f"Clause {n} of {names[7]} ") == 1 for n in range(1, 31))
    assert [one["headings"] for one in chunks if f"Clause 15 of {names[7]} " in one["text"]] == [
        [f"The fund {names[7]}"]
    ]
