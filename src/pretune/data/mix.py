"""Rows of several kinds to one training set, beside validation and test rows of seeds alone."""

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pretune.core.digest import of_json
from pretune.core.errors import DataError
from pretune.core.origin import RowKind
from pretune.data.splits import Split, split_of
from pretune.data.template import plain
from pretune.data.workshop.draft import Draft, write_rows
from pretune.data.workshop.step import Step, Written
from pretune.data.workshop.tracked import Tracked, Unread, file_digests, read_tracked
from pretune.spec.mixing import MixSpec, exactly

_KINDS = tuple(RowKind)
Ids = NDArray[np.uint64]


class Fate(IntEnum):
    """What becomes of a row; ``said`` tells it."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2
    REPEATED = 3
    NOT_SEED = 4
    DESCENDS = 5
    PER_ROOT = 6
    CAP = 7
    SHARE = 8

    @property
    def said(self) -> str:
        """The fate in words, as counts are named."""
        return (
            "train",
            "validation",
            "test",
            "left out: the same row came before",
            "left out: no seed row, and these alone are held out",
            "left out: a held-out row, or made from one",
            "left out: more rows made from one row than per_root",
            "left out: more rows of a kind than its cap",
            "left out: more rows of a kind than its share",
        )[self]


_HELD = {Split.VALIDATION: Fate.VALIDATION, Split.TEST: Fate.TEST, Split.TRAIN: Fate.TRAIN}
_FILES = {Fate.TRAIN: "train", Fate.VALIDATION: "validation", Fate.TEST: "test"}


@dataclass
class _Census:
    """What the first pass remembers: 18 bytes a row."""

    ids: "array[int]" = field(default_factory=lambda: array("Q"))
    roots: "array[int]" = field(default_factory=lambda: array("Q"))
    kinds: "array[int]" = field(default_factory=lambda: array("B"))
    fates: "array[int]" = field(default_factory=lambda: array("B"))

    def add(self, row: Tracked, fate: Fate) -> None:
        self.ids.append(int(row.origin.id, 16))
        self.roots.append(int(row.origin.root, 16))
        self.kinds.append(_KINDS.index(row.origin.kind))
        self.fates.append(fate)


def mix_rows(
    sources: Sequence[Path],
    out: Path,
    spec: MixSpec,
    *,
    validation: Sequence[Path] = (),
    test: Sequence[Path] = (),
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Written:
    """Write ``train.jsonl``, and ``validation.jsonl`` and ``test.jsonl`` where rows fall to them,
    into the folder ``out``.

    Held-out rows are seed rows: of the files ``validation`` and ``test`` where given, else cut from
    the seed rows of ``sources`` by content. No training row is a held-out row or descends from one.
    Rows keep the order of the files. Two passes; one byte a row stays in memory between them.

    Raises:
        DataError: a file that cannot be read, or no training row is left.
        BusyError: see :func:`pretune.data.workshop.draft.write_rows`.
    """
    given = _Given(((sources, None), (validation, Fate.VALIDATION), (test, Fate.TEST)), progress)
    paths = [path for some, _ in given.files for path in some]
    inputs = file_digests(paths)
    fates, unread = _look(given, spec)
    if not (fates == Fate.TRAIN).any():
        raise DataError(f"no training row is left: {_told(fates, unread)}")
    settings = {
        **spec.model_dump(mode="json"),
        "validation": [path.name for path in validation],
        "test": [path.name for path in test],
    }
    step = Step("mix", out.name, settings, inputs, paths)
    files = {name: out / f"{name}.jsonl" for fate, name in _FILES.items() if (fates == fate).any()}
    return write_rows(
        step, files, lambda draft: _write(draft, given, fates, unread), overwrite=overwrite
    )


@dataclass(frozen=True)
class _Given:
    """Files, and the split that their rows were put into, if any."""

    files: tuple[tuple[Sequence[Path], Fate | None], ...]
    progress: Callable[[int], None] | None

    def rows(self, unread: Unread) -> Iterator[tuple[Tracked, Fate | None]]:
        """Every row in order with that split."""
        for paths, fate in self.files:
            for row in read_tracked(paths, unread):
                if self.progress is not None:
                    self.progress(1)
                yield row, fate

    def shares(self, spec: MixSpec) -> dict[Split, float]:
        """What is cut from the rest for the splits that no file was given for."""
        has = {fate for paths, fate in self.files if paths}
        return {
            Split.VALIDATION: 0.0 if Fate.VALIDATION in has else spec.validation_share,
            Split.TEST: 0.0 if Fate.TEST in has else spec.test_share,
        }


def _look(given: _Given, spec: MixSpec) -> tuple[NDArray[np.uint8], Unread]:
    """The first pass: the fate of every row, and what could not be read."""
    census, unread, shares = _Census(), Unread(), given.shares(spec)
    for row, fate in given.rows(unread):
        census.add(row, _first_fate(row, fate, shares, spec.asks))
    return _decide(census, spec), unread


def _write(draft: Draft, given: _Given, fates: NDArray[np.uint8], unread: Unread) -> None:
    """The second pass: each row where its fate has it."""
    for number, (row, _) in enumerate(given.rows(Unread())):
        if number < draft.units:
            continue
        fate = Fate(fates[number])
        if fate in _FILES:
            draft.write(_FILES[fate], row.row.fields)
            draft.count(f"{_FILES[fate]}, {row.origin.kind}")
        else:
            draft.count(fate.said)
        draft.end_unit()
    if draft.units == len(fates):
        for reason, count in unread.counts.items():
            draft.count(f"not read: {reason}", count)
        draft.end_unit()


def _first_fate(
    row: Tracked, given: Fate | None, shares: Mapping[Split, float], asks: Sequence[str]
) -> Fate:
    """Where a row falls by itself, before shares and ancestors are looked at."""
    seed = row.origin.kind is RowKind.SEED
    if given is not None:
        return given if seed else Fate.NOT_SEED
    if not seed:
        return Fate.TRAIN
    fields = row.row.fields
    key = of_json({name: plain(fields.get(name)) for name in asks}) if asks else row.origin.id
    return _HELD[split_of(key, shares)]


def _decide(census: _Census, spec: MixSpec) -> NDArray[np.uint8]:
    """The fate of every row."""
    if not census.ids:
        raise DataError("the files hold no rows that could be read")
    ids = np.frombuffer(census.ids, np.uint64)
    roots = np.frombuffer(census.roots, np.uint64)
    kinds = np.frombuffer(census.kinds, np.uint8)
    fates = np.frombuffer(census.fates, np.uint8).copy()
    tested = np.isin(ids, ids[fates == Fate.TEST])
    fates[(fates == Fate.VALIDATION) & tested] = Fate.REPEATED
    held = np.isin(fates, (Fate.VALIDATION, Fate.TEST))
    descends = np.isin(ids, ids[held]) | np.isin(roots, ids[held])
    fates[(fates == Fate.TRAIN) & descends] = Fate.DESCENDS
    order = np.lexsort((np.arange(len(ids)), ids, fates))
    again = np.zeros(len(ids), bool)
    same = (ids[order][1:] == ids[order][:-1]) & (fates[order][1:] == fates[order][:-1])
    again[order[1:]] = same
    fates[again & (fates <= Fate.TEST)] = Fate.REPEATED

    ranks = _scattered(ids, spec.seed)
    if spec.per_root is not None:
        made = np.flatnonzero((fates == Fate.TRAIN) & (ids != roots))
        fates[_beyond(made, roots, ranks, spec.per_root)] = Fate.PER_ROOT
    for kind, cap in spec.caps.items():
        _keep(fates, kinds, kind, cap, ranks, Fate.CAP)
    counts = {kind: int(((fates == Fate.TRAIN) & (kinds == i)).sum()) for i, kind in _numbered()}
    for kind, count in fitting(counts, spec).items():
        _keep(fates, kinds, kind, count, ranks, Fate.SHARE)
    return fates


def fitting(counts: Mapping[RowKind, int], spec: MixSpec) -> dict[RowKind, int]:
    """The most rows of each kind such that no kind has more than its share of all of them."""
    shares = {kind: exactly(share) for kind, share in spec.shares.items()}
    taken, total = dict(counts), sum(counts.values())
    while True:
        taken = {
            kind: min(count, int(shares[kind] * total)) if kind in shares else count
            for kind, count in taken.items()
        }
        if sum(taken.values()) == total:
            return taken
        total = sum(taken.values())


def _numbered() -> Iterator[tuple[int, RowKind]]:
    return iter(enumerate(_KINDS))


def _keep(
    fates: NDArray[np.uint8],
    kinds: NDArray[np.uint8],
    kind: RowKind,
    count: int,
    ranks: Ids,
    fate: Fate,
) -> None:
    """Leave ``count`` training rows of ``kind``, those of the lowest rank."""
    rows = np.flatnonzero((fates == Fate.TRAIN) & (kinds == _KINDS.index(kind)))
    fates[rows[np.argsort(ranks[rows], kind="stable")[count:]]] = fate


def _beyond(rows: NDArray[np.intp], roots: Ids, ranks: Ids, most: int) -> NDArray[np.intp]:
    """Those of ``rows`` that come after the first ``most`` of their root, by rank."""
    ordered = rows[np.lexsort((ranks[rows], roots[rows]))]
    starts = np.flatnonzero(np.r_[True, roots[ordered][1:] != roots[ordered][:-1]])
    lengths = np.diff(np.r_[starts, len(ordered)])
    within = np.arange(len(ordered)) - np.repeat(starts, lengths)
    return ordered[within >= most]


def _scattered(ids: Ids, seed: int) -> Ids:
    """A random order of the rows that depends on their ids and the seed alone (splitmix64)."""
    x = ids + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Ids = x ^ (x >> np.uint64(31))
    return mixed


def _told(fates: NDArray[np.uint8], unread: Unread) -> str:
    parts = [f"{fate.said}: {(fates == fate).sum()}" for fate in Fate if (fates == fate).any()]
    return "; ".join(parts + [finding for finding in [unread.finding()] if finding])
