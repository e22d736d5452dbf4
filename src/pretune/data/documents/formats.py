"""Which files are documents, what reads them, and the packages that it needs."""

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pretune.core.errors import MissingExtra


class Format(NamedTuple):
    """``module`` has a ``read(path, limits)`` that yields blocks; ``packages`` as imported."""

    module: str
    packages: tuple[str, ...]


_HERE = "pretune.data.documents"
_TEXT = Format(f"{_HERE}.plain", ("charset_normalizer",))
_MARKDOWN = Format(f"{_HERE}.markdown", ("charset_normalizer", "lxml", "markdown_it"))
_HTML = Format(f"{_HERE}.hypertext", ("charset_normalizer", "lxml"))

FORMATS: dict[str, Format] = {
    ".txt": _TEXT,
    ".md": _MARKDOWN,
    ".markdown": _MARKDOWN,
    ".html": _HTML,
    ".htm": _HTML,
    ".pdf": Format(f"{_HERE}.portable", ("pdfplumber",)),
    ".docx": Format(f"{_HERE}.word", ("lxml", "mammoth")),
}
"""Formats by suffix. They are read in a process of their own, so no module of theirs is imported
here."""


def format_of(path: Path) -> Format | None:
    """The format of ``path`` by its suffix; ``None`` for what is no document."""
    return FORMATS.get(path.suffix.lower())


def need_packages(paths: Iterable[Path]) -> None:
    """Refuse to begin where a package for one of ``paths`` is missing.

    Raises:
        MissingExtra: with the install command.
    """
    for suffix in sorted({path.suffix.lower() for path in paths}):
        for package in FORMATS[suffix].packages if suffix in FORMATS else ():
            if importlib.util.find_spec(package) is None:
                raise MissingExtra(package, "documents", f"reading {suffix} files")
