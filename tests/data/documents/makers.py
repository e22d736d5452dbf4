"""Documents made by hand: no test needs a program that writes them."""

import zipfile
from pathlib import Path

_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_TYPES = """<?xml version="1.0"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Default Extension="xml" ContentType="application/xml"/>
<Override PartName="/word/document.xml"
 ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/>
</Types>"""
_RELATIONS = """<?xml version="1.0"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
<Relationship Id="r1" Target="word/document.xml"
 Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/>
</Relationships>"""
_STYLES = f"""<?xml version="1.0"?>
<w:styles xmlns:w="{_W}"><w:style w:type="paragraph" w:styleId="1"><w:name w:val="heading 1"/>
</w:style></w:styles>"""
_STYLE_RELATION = """<?xml version="1.0"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
<Relationship Id="r1" Target="styles.xml"
 Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles"/>
</Relationships>"""


def paragraph(text: str, style: str = "") -> str:
    look = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{look}<w:r><w:t>{text}</w:t></w:r></w:p>"


def table(rows: list[list[str]]) -> str:
    cells = ("".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row) for row in rows)
    return "<w:tbl>" + "".join(f"<w:tr>{row}</w:tr>" for row in cells) + "</w:tbl>"


def docx(path: Path, *body: str, **members: bytes) -> Path:
    document = f'<?xml version="1.0"?><w:document xmlns:w="{_W}"><w:body>'
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("[Content_Types].xml", _TYPES)
        packed.writestr("_rels/.rels", _RELATIONS)
        packed.writestr("word/_rels/document.xml.rels", _STYLE_RELATION)
        packed.writestr("word/styles.xml", _STYLES)
        packed.writestr("word/document.xml", document + "".join(body) + "</w:body></w:document>")
        for name, content in members.items():
            packed.writestr(name, content)
    return path


def lines(*given: tuple[int, str], font: str = "F1", top: int = 760) -> str:
    """Page content: each line is a size in points and its text."""
    parts, y = [], top
    for size, text in given:
        y -= 2 * size
        escaped = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
        parts.append(f"BT /{font} {size} Tf 72 {y} Td ({escaped}) Tj ET")
    return "\n".join(parts)


def grid(rows: list[list[str]], top: int = 500) -> str:
    """A table with lines around its cells, 120 by 20 points each."""
    parts = []
    for r, row in enumerate(rows):
        for c, text in enumerate(row):
            x, y = 72 + 120 * c, top - 20 * r
            parts.append(f"{x} {y - 20} 120 20 re S")
            parts.append(f"BT /F1 10 Tf {x + 4} {y - 14} Td ({text}) Tj ET")
    return "\n".join(parts)


def pdf(path: Path, *pages: str, trailer: str = "") -> Path:
    """A PDF of such pages in Helvetica (F1) and its bold (F2)."""
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica{} /Encoding /WinAnsiEncoding >>"
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", font.format(""), font.format("-Bold")]
    kids = []
    for content in pages:
        kids.append(f"{len(objects) + 1} 0 R")
        fonts = "<< /Font << /F1 3 0 R /F2 4 0 R >> >>"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources {fonts} "
            f"/Contents {len(objects) + 2} 0 R >>"
        )
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    data, offsets = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, 1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n{text}\nendobj\n".encode("latin-1")
    start = len(data)
    data += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    data += b"".join(f"{offset:010} 00000 n \n".encode() for offset in offsets)
    data += (
        f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R {trailer} >>\n"
        f"startxref\n{start}\n%%EOF\n"
    ).encode()
    path.write_bytes(data)
    return path


ENCRYPTED = (
    f"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <{'11' * 32}> /U <{'22' * 32}> >> "
    f"/ID [<{'33' * 16}> <{'33' * 16}>]"
)
"""A trailer that says: encrypted with a password that nobody knows."""


def replace_member(path: Path, name: str, content: str) -> None:
    """Put ``content`` in the place of a member of a ZIP file."""
    with zipfile.ZipFile(path) as packed:
        members = {one: packed.read(one) for one in packed.namelist()}
    members[name] = content.encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for member, data in members.items():
            packed.writestr(member, data)


def patch_entries(path: Path, field: slice, value: bytes) -> None:
    """Overwrite a field of every entry of a ZIP file's directory (APPNOTE 4.3.12)."""
    data = bytearray(path.read_bytes())
    place = data.find(b"PK\1\2")
    while place >= 0:
        data[place + field.start : place + field.stop] = value
        place = data.find(b"PK\1\2", place + 4)
    path.write_bytes(data)


FLAGS, UNPACKED_SIZE = slice(8, 10), slice(24, 28)
"""Fields of an entry: what ``patch_entries`` may overwrite."""
