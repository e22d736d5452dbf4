"""Word documents (.docx), by way of HTML."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import mammoth

from pretune.data.documents.blocks import Block, Limits, Unreadable
from pretune.data.documents.hypertext import blocks_of

_OLD_OFFICE = bytes.fromhex("d0cf11e0a1b11ae1")
"""How the container of .doc files begins, and that of encrypted .docx files."""

_STYLES = "p[style-name='Title'] => h1:fresh\np[style-name='Subtitle'] => h2:fresh"


def read(path: Path, limits: Limits) -> Iterator[Block]:
    """Blocks of a Word document; pictures are left out.

    Raises:
        Unreadable: encrypted, an old .doc, damaged, or packed to many times its size.
    """
    with path.open("rb") as file:
        if file.read(8) == _OLD_OFFICE:
            raise Unreadable("is encrypted, or an old .doc; save it as .docx without a password")
    try:
        _check_sizes(path, limits)
        with path.open("rb") as file:
            found = mammoth.convert_to_html(
                file,
                style_map=_STYLES,
                convert_image=mammoth.images.img_element(lambda _image: {"src": ""}),
            )
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError) as error:
        raise Unreadable("is damaged, or no .docx; open it in Word and save it anew") from error
    return blocks_of(found.value)


def _check_sizes(path: Path, limits: Limits) -> None:
    with zipfile.ZipFile(path) as packed:
        members = packed.infolist()
    size = sum(member.file_size for member in members)
    if size > limits.bytes:
        raise Unreadable(
            f"unpacks to {size >> 20:,} MB, more than the {limits.bytes >> 20:,} allowed; if it is "
            "no attack, raise limits.megabytes"
        )
    if any(member.flag_bits & 1 for member in members):
        raise Unreadable("is encrypted; save it without a password")
