"""The first step of distilling: a folder of documents to a file of chunks."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from pretune.core import digest
from pretune.core.errors import DataError
from pretune.core.files import storage_error
from pretune.core.names import near_files
from pretune.core.origin import content_id
from pretune.core.records import Row
from pretune.data.documents.blocks import Block, Unreadable
from pretune.data.documents.chunks import Count, chunks_of
from pretune.data.documents.formats import FORMATS, format_of, need_packages
from pretune.data.documents.reading import Reading
from pretune.data.privacy.masking import Mask
from pretune.data.sources import read_rows
from pretune.data.workshop.draft import Draft, write_rows
from pretune.data.workshop.lineage import read_lineage
from pretune.data.workshop.step import Step, Written
from pretune.spec.distil import ChunkSpec, LimitSpec

CHUNKS, DOCUMENTS = "chunks.jsonl", "documents.jsonl"
REFUSED = "documents refused"
"""What they are counted under."""

_LINK = "a link out of the folder"
_SHOWN = 3


def find_documents(folder: Path) -> tuple[dict[str, Path], Counter[str]]:
    """Documents under ``folder``, or that one file, by their path in it, in order; and how many
    files of each other suffix there are. Hidden files and folders are left out. Links that lead out
    of the folder are counted too, and left out: whoever made it could have anything of this machine
    sent to the teacher.

    Raises:
        DataError: no such folder, or no document in it.
    """
    if folder.is_file():
        return {shown_name(folder.name): folder}, Counter()
    if not folder.is_dir():
        raise DataError(f'no folder "{folder}";{near_files(folder)}')
    found, others, home = {}, Counter[str](), os.path.realpath(folder)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if any(part.startswith(".") for part in name.parts):
            continue
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(home):
            others[_LINK] += 1
        elif not path.is_file():
            continue
        elif format_of(path):
            found[shown_name(name.as_posix())] = path
        else:
            others[shown_name(path.suffix.lower()) or "no suffix"] += 1
    if not found:
        links = others[_LINK]
        told = f"; links that lead out of it are not followed: {links}" if links else ""
        raise DataError(f'"{folder}" holds no document; known: {", ".join(FORMATS)}{told}')
    return found, others


def shown_name(name: str) -> str:
    """``name`` as text; bytes of it that are no UTF-8 are shown by their numbers."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def write_chunks(
    folder: Path,
    out: Path,
    spec: ChunkSpec,
    limits: LimitSpec,
    *,
    count: Count = len,
    mask: Mask | None = None,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Written:
    """Write ``chunks.jsonl``, and ``documents.jsonl`` with what became of each document, into
    ``out``; what was written there by the same step of the same documents stays.

    ``mask`` sees every document, and its name, before anything of them is stored.

    Raises:
        DataError: no document, or none that could be read.
        MissingExtra: a package that reads them is not installed.
        BusyError: see :func:`pretune.data.workshop.draft.write_rows`.
    """
    documents, others = find_documents(folder)
    need_packages(documents.values())
    settings = {
        "chunks": spec.model_dump(mode="json"),
        "limits": limits.model_dump(mode="json"),
        "mask": mask and mask.name,
    }
    names, digests = dict(zip(documents, documents, strict=True)), _digests(documents)
    if mask is not None:
        names = dict(zip(documents, mask.texts(list(documents)), strict=True))
        mask.keep()
        digests = mask.digests({names[name]: one for name, one in digests.items()})
    step = Step("chunks", shown_name(folder.name), settings, digests)
    files = {"chunks": out / CHUNKS, "documents": out / DOCUMENTS}
    if (done := _finished(step, files)) and not overwrite:
        return done

    def work(draft: Draft) -> None:
        with Reading(limits) as reading:
            for name, path in list(documents.items())[draft.units :]:
                blocks = _masked(reading.blocks(path), mask)
                _write_document(draft, names[name], blocks, spec.size, count)
                for kind, number in mask.keep().items() if mask else ():
                    draft.count(f"masked: {kind}", number)
                draft.end_unit()
                if progress is not None:
                    progress(1)
        if draft.units == len(documents):
            for suffix, number in sorted(others.items()):
                draft.count(f"not a document: {suffix}", number)
            draft.end_unit()

    written = write_rows(step, files, work, overwrite=overwrite)
    if not written.rows["chunks"]:
        lines = (row.fields for row in read_rows(files["documents"]) if isinstance(row, Row))
        told = [f'"{line["document"]}" {line["refused"]}' for line in islice(lines, _SHOWN)]
        raise DataError(f"no document gives a chunk: {'; '.join(told)}")
    return written


def _write_document(
    draft: Draft, name: str, blocks: Iterator[Block], size: int, count: Count
) -> None:
    """Add a document's chunks, all or none, and its line."""
    reason = None
    chunks = []
    try:
        chunks = list(chunks_of(blocks, size, count))
        if not chunks:
            reason = "holds no text"
    except Unreadable as error:
        reason, chunks = str(error), []
    for number, chunk in enumerate(chunks, 1):
        row = {
            "document": name,
            "number": number,
            "headings": list(chunk.headings),
            "text": chunk.text,
        }
        draft.write("chunks", {"id": content_id(row), **row})
    line = {
        "document": name,
        "id": document_id(name),
        "chunks": len(chunks),
        "characters": sum(len(chunk.text) for chunk in chunks),
        "refused": reason,
    }
    draft.write("documents", line)
    draft.count("documents read" if reason is None else REFUSED)


def document_id(name: str) -> str:
    """Id of a document, the root of the rows made of it."""
    return content_id({"document": name})


def _masked(blocks: Iterator[Block], mask: Mask | None) -> Iterator[Block]:
    """A document masked as a whole: a name that one block gives away is hidden in all of them."""
    if mask is None:
        yield from blocks
        return
    read = list(blocks)
    texts = mask.texts([block.text for block in read])
    for block, text in zip(read, texts, strict=True):
        yield Block(block.kind, text, block.level)


def _digests(documents: Mapping[str, Path]) -> dict[str, str]:
    try:
        return {name: digest.of_file(path) for name, path in documents.items()}
    except OSError as error:
        raise storage_error("read", Path(error.filename or "documents"), error) from error


def _finished(step: Step, files: Mapping[str, Path]) -> Written | None:
    """What the same step wrote before, if it is still as it was."""
    for line in read_lineage(next(iter(files.values())).parent):
        if {key: line.get(key) for key in step.line()} != step.line():
            continue
        outputs: dict[str, Any] = line["outputs"]
        rows = {name: outputs.get(path.name, {}).get("rows", 0) for name, path in files.items()}
        if all(
            path.exists() and outputs.get(path.name, {}).get("digest") == digest.of_file(path)
            for path in files.values()
        ):
            return Written(files, rows, line["counts"], 0)
    return None
