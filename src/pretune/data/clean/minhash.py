"""Near-duplicates by MinHash (Broder 1997) and banding (Leskovec et al., Mining of Massive
Datasets, section 3.4), in bounded memory.

Own lines rather than a library's: datasketch and its like keep every signature in Python objects
and hash shingle by shingle, where a million rows need flat arrays. The signatures lie in a file;
what stays in memory is a handful of 8-byte arrays, one band at a time.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 128
"""Hash functions a signature has: an estimated similarity of 0.8 is off by 0.035 (one sigma)."""

_BAND = 4
"""Signature values a band has. Rows of similarity s share a band with 1 - (1 - s^4)^32: 1.00 at
0.8, 0.9999 at 0.7, 0.87 at 0.5."""

_SHINGLE = 4
"""Characters of a shingle."""

_CHUNK = 65_536
_BYTES = 4 * PERMUTATIONS
_SPACE = re.compile(r"\s+")
_RANDOM = np.random.default_rng(20240607)
_FACTORS = _RANDOM.integers(1, 2**63, PERMUTATIONS, dtype=np.uint64) | np.uint64(1)
_OFFSETS = _RANDOM.integers(0, 2**63, PERMUTATIONS, dtype=np.uint64)
_POWERS = _RANDOM.integers(1, 2**63, _SHINGLE, dtype=np.uint64) | np.uint64(1)


def fold(text: str) -> str:
    """``text`` without what does not tell rows apart: width, case, runs of space."""
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def shingles(text: str) -> NDArray[np.uint64]:
    """Hashes of the different runs of four characters in ``text``, folded; one for a short text."""
    points = np.frombuffer(fold(text).encode("utf-32-le"), np.uint32).astype(np.uint64)
    if len(points) < _SHINGLE:
        points = np.concatenate([points, np.zeros(_SHINGLE - len(points), np.uint64)])
    hashes = np.zeros(len(points) - _SHINGLE + 1, np.uint64)
    for place, power in enumerate(_POWERS):
        hashes += points[place : place + len(hashes)] * power
    hashes ^= hashes >> np.uint64(31)
    hashes *= np.uint64(0x9E3779B97F4A7C15)
    return np.unique(hashes ^ (hashes >> np.uint64(29)))


def signature(text: str) -> NDArray[np.uint32]:
    """MinHash signature of ``text``, shape (128,): two texts agree in as large a share of it as
    their sets of shingles overlap (Jaccard), in expectation."""
    hashes = shingles(text)
    lowest = np.full(PERMUTATIONS, np.iinfo(np.uint64).max)
    for start in range(0, len(hashes), 4096):
        part = hashes[start : start + 4096, None] * _FACTORS + _OFFSETS
        lowest = np.minimum(lowest, part.min(axis=0))
    return (lowest >> np.uint64(32)).astype(np.uint32)


class Signatures:
    """Signatures of many texts, in a file; none stays in memory."""

    def __init__(self, path: Path, texts: Iterable[str]) -> None:
        """Write those of ``texts`` to ``path``."""
        self._count = 0
        with path.open("wb") as file:
            for text in texts:
                file.write(signature(text).tobytes())
                self._count += 1
        # Read and not mapped: pages of a mapping count as memory of the process.
        self._file = path.open("rb", buffering=0)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, rows: slice | NDArray[np.intp]) -> NDArray[np.uint32]:
        """Those of ``rows``, shape (rows, 128)."""
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(self._count)
            self._file.seek(start * _BYTES)
            whole = np.fromfile(self._file, np.uint32, (stop - start) * PERMUTATIONS)
            return whole.reshape(-1, PERMUTATIONS)
        once, places = np.unique(rows, return_inverse=True)
        handle = self._file.fileno()
        read = b"".join(os.pread(handle, _BYTES, row * _BYTES) for row in once.tolist())
        return np.frombuffer(read, np.uint32).reshape(-1, PERMUTATIONS)[places]

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def alike(self, ones: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.float64]:
        """Estimated similarity of each pair of rows."""
        similar: NDArray[np.float64] = (self[ones] == self[others]).mean(axis=1)
        return similar


def near_pairs(
    signatures: Signatures, threshold: float
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Pairs of rows at least as similar as ``threshold``, band by band.

    A row is compared with the first and with the last row before it in its bucket, so a bucket of
    many costs no more than their number; the same pair may come from several bands.
    """
    for start in range(0, PERMUTATIONS, _BAND):
        keys = _band_keys(signatures, start)
        order = np.argsort(keys, kind="stable")
        same = keys[order][1:] == keys[order][:-1]
        if not same.any():
            continue
        firsts = np.maximum.accumulate(np.where(np.r_[True, ~same], np.arange(len(order)), 0))
        later = np.flatnonzero(np.r_[False, same])
        third = later[firsts[later] < later - 1]  # the first before it is not the last
        for before, row in ((firsts[later], later), (third - 1, third)):
            for at in range(0, len(row), _CHUNK // 8):
                part = slice(at, at + _CHUNK // 8)
                ones, others = order[before[part]], order[row[part]]
                keep = signatures.alike(ones, others) >= threshold
                yield ones[keep], others[keep]


def _band_keys(signatures: Signatures, start: int) -> NDArray[np.uint64]:
    keys = np.empty(len(signatures), np.uint64)
    for at in range(0, len(signatures), _CHUNK):
        band = signatures[at : at + _CHUNK][:, start : start + _BAND].astype(np.uint64)
        key = np.zeros(len(band), np.uint64)
        for column in band.T:
            key = (key ^ column) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(29)
        keys[at : at + _CHUNK] = key
    return keys
