"""Every row of a task looked at: what is flagged, because of which other row."""

import contextlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pretune.core.digest import of_bytes
from pretune.core.records import Row
from pretune.data.clean.boilerplate import Repeated, sentences
from pretune.data.clean.minhash import Signatures, fold, near_pairs
from pretune.data.clean.noise import doubts
from pretune.data.clean.notes import Note, Notes
from pretune.data.clean.outliers import FAR, SCRIPTS, far_off, likeness, script_of
from pretune.data.dataset import read_examples
from pretune.data.language import english
from pretune.data.rejected import Rejected
from pretune.data.splits import Split
from pretune.data.template import Template
from pretune.spec.cleaning import CleanSpec, Flag
from pretune.spec.task import TaskSpec

FLAGS = tuple(Flag)
SPLITS = (Split.TEST, Split.VALIDATION, Split.TRAIN)
"""In the order in which a row of one keeps its place against a row like it of another."""

SHARD = 20_000
"""Rows whose words are in memory together; more are judged in as many even parts."""

_FEWEST = 20
"""Rows below which nothing is said about what is usual among them."""

_RARE = 0.02
"""Share of the rows below which a script or a language is unusual among them."""

_WORDS = 8
"""Words from which a row is said to be English or not."""

_ENGLISH = 30
"""Percentage of common words beyond which a row is English among rows that are not."""

_COMMON, _LEAST = 0.02, 5
"""A sentence is boilerplate in so large a share of the rows, and in so many."""


Progress = Callable[[str, int], None]
"""Told the name of a pass over the rows, and how many more rows it has done."""


class Asked(NamedTuple):
    """A readable row of a task: its number among them, its split, what it asks and answers."""

    number: int
    split: Split
    row: Row
    text: str
    answer: str

    @property
    def note(self) -> Note:
        """What is kept of it."""
        return Note(self.row.id, self.text, self.answer)


@dataclass
class Examined:
    """What was found about each row: ``flags`` a bit for each of ``FLAGS``; ``other`` the number of
    the row that is alike, -1 for none; ``doubt`` of the label, from -1 to 1; ``notes`` what it asks
    and answers."""

    splits: NDArray[np.uint8]
    flags: NDArray[np.uint16]
    other: NDArray[np.int64]
    doubt: NDArray[np.float32]
    boilerplate: dict[str, int]
    unreadable: int
    notes: Notes

    def flagged(self, flag: Flag) -> NDArray[np.bool_]:
        """The rows with ``flag``."""
        return (self.flags & np.uint16(1 << FLAGS.index(flag))) > 0

    def flags_of(self, number: int) -> list[Flag]:
        """The flags of a row."""
        return [flag for i, flag in enumerate(FLAGS) if self.flags[number] >> i & 1]

    def add(self, flag: Flag, rows: NDArray[np.intp] | int) -> None:
        """Flag ``rows``."""
        self.flags[rows] |= np.uint16(1 << FLAGS.index(flag))


@dataclass
class _Census:
    """What the first pass keeps: about 30 bytes a row, and the signatures in a file."""

    splits: "array[int]" = field(default_factory=lambda: array("B"))
    exact: "array[int]" = field(default_factory=lambda: array("Q"))
    answers: "array[int]" = field(default_factory=lambda: array("Q"))
    lengths: "array[int]" = field(default_factory=lambda: array("I"))
    scripts: "array[int]" = field(default_factory=lambda: array("B"))
    english: "array[int]" = field(default_factory=lambda: array("b"))
    repeated: Repeated = field(default_factory=Repeated)

    def add(self, asked: Asked) -> None:
        self.splits.append(SPLITS.index(asked.split))
        self.exact.append(_hash(fold(asked.text)))
        self.answers.append(_hash(asked.answer))
        self.lengths.append(len(asked.text))
        self.scripts.append(SCRIPTS.index(script_of(asked.text)))
        share = english(asked.text, _WORDS)
        self.english.append(-1 if share is None else round(100 * share))
        self.repeated.add(asked.text)


def rows_of(task: TaskSpec) -> Iterator[Asked | None]:
    """The rows of ``task`` as cleaning sees them, in order; ``None`` for one that is not usable."""
    template, number = Template(task), 0
    for split, row, example in read_examples(task, template):
        if row is None or isinstance(example, Rejected):
            yield None
            continue
        answer = example.label or "\n".join(example.references)
        yield Asked(number, split, row, template.asked(row), answer)
        number += 1


@contextlib.contextmanager
def examine(
    task: TaskSpec, spec: CleanSpec, folder: Path, progress: Progress | None = None
) -> Iterator[Examined]:
    """Look at every row of ``task``. Its text, and half a kilobyte a row beside, goes to files of
    ``folder``, which the result reads from until the block ends; some 170 bytes a row are in memory
    at most."""
    with contextlib.closing(Notes(folder / "notes")) as notes:
        yield _examine(task, spec, notes, folder / "signatures", progress)


def _examine(
    task: TaskSpec, spec: CleanSpec, notes: Notes, path: Path, progress: Progress | None
) -> Examined:
    census, unreadable = _Census(), 0

    def texts() -> Iterator[str]:
        nonlocal unreadable
        for asked in rows_of(task):
            if asked is None:
                unreadable += 1
                continue
            census.add(asked)
            notes.add(asked.note)
            yield asked.text
            if progress is not None:
                progress("looked at", 1)

    with contextlib.closing(Signatures(path, texts())) as signatures:
        count = len(signatures)
        found = Examined(
            np.frombuffer(census.splits, np.uint8) if count else np.zeros(0, np.uint8),
            np.zeros(count, np.uint16),
            np.full(count, -1, np.int64),
            np.full(count, np.nan, np.float32),
            census.repeated.common(_COMMON, _LEAST),
            unreadable,
            notes,
        )
        if count:
            _alike(found, census, signatures, spec.near, closed=task.labels is not None)
    if count >= _FEWEST:
        _unusual(found, census)
        _judge(found, spec.seed, closed=task.labels is not None, progress=progress)
    return found


def _alike(
    found: Examined,
    census: _Census,
    signatures: Signatures,
    near: float,
    *,
    closed: bool,
) -> None:
    """Flag training rows that ask (nearly) what an earlier row asks, held-out rows being first."""
    exact = np.frombuffer(census.exact, np.uint64)
    answers = np.frombuffer(census.answers, np.uint64)
    order = np.lexsort((np.arange(len(exact)), found.splits))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    train = found.splits == SPLITS.index(Split.TRAIN)
    none = len(order)
    # By row, the rank of the first row like it: a held-out one, one of its answer, one of another.
    held, same, other = (np.full(len(order), none) for _ in range(3))
    for ones, others in near_pairs(signatures, near):
        first = np.where(rank[ones] < rank[others], ones, others)
        second = ones + others - first
        keep = train[second]
        first, second = first[keep], second[keep]
        leaks, equal = ~train[first], answers[first] == answers[second]
        for best, rows in ((held, leaks), (same, ~leaks & equal), (other, ~leaks & ~equal)):
            np.minimum.at(best, second[rows], rank[first[rows]])
    gone = np.zeros(len(order), bool)
    for row in order[np.minimum(np.minimum(held, same), other)[order] < none]:
        for best, flag in ((held, Flag.LEAK), (same, Flag.DUPLICATE), (other, Flag.NEAR_LABEL)):
            if best[row] == none or (flag is Flag.NEAR_LABEL and not closed):
                continue  # free answers may differ
            like = int(order[best[row]])
            if gone[like]:  # then the row that it is like stands for it, if it does
                like = int(found.other[like])
                if signatures.alike(np.array([row]), np.array([like]))[0] < near:
                    continue
                flag = flag if train[like] else Flag.LEAK
            if flag is Flag.NEAR_LABEL and exact[row] == exact[like]:
                flag = Flag.CONTRADICTION
            found.add(flag, row)
            found.other[row] = like
            gone[row] = flag in (Flag.LEAK, Flag.DUPLICATE)
            break


def _unusual(found: Examined, census: _Census) -> None:
    """Flag training rows of rare length or language."""
    train = np.flatnonzero(found.splits == SPLITS.index(Split.TRAIN))
    lengths = np.log1p(np.frombuffer(census.lengths, np.uint32).astype(float))
    scripts = np.frombuffer(census.scripts, np.uint8)
    if len(train) < _FEWEST:
        return
    found.add(Flag.LENGTH, train[np.abs(far_off(lengths[train])) > FAR])
    counts = np.bincount(scripts[train], minlength=len(SCRIPTS)) / len(train)
    found.add(Flag.LANGUAGE, train[counts[scripts[train]] < _RARE])
    found.add(Flag.LANGUAGE, train[other_language(np.frombuffer(census.english, np.int8)[train])])


def other_language(english: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Rows that few are like: much less or much more English than most. ``english`` is the
    percentage of the commonest English words in each row, -1 where it cannot be told."""
    told = english >= 0
    usual = np.median(english[told]) if told.any() else 0.0
    odd = told & ((english < usual / 4) | (english > max(4 * usual, _ENGLISH)))
    return odd if odd.mean() < _RARE else np.zeros(len(odd), bool)


def _judge(found: Examined, seed: int, *, closed: bool, progress: Progress | None) -> None:
    """Flag training rows by their words, ``SHARD`` or fewer at a time."""
    gone = found.flagged(Flag.DUPLICATE) | found.flagged(Flag.LEAK)
    train = np.flatnonzero((found.splits == SPLITS.index(Split.TRAIN)) & ~gone)
    shards = max(1, -(-len(train) // SHARD))
    for shard in range(shards):
        numbers = train[shard::shards]
        _judge_shard(found, numbers, seed, closed=closed)
        if progress is not None:
            progress("judged", len(numbers))


def _judge_shard(found: Examined, numbers: NDArray[np.intp], seed: int, *, closed: bool) -> None:
    """Flag boilerplate, words unlike the label's, and doubted labels among the rows ``numbers``."""
    notes = [found.notes[number] for number in numbers]
    texts = [note.text for note in notes]
    holds = [any(said in found.boilerplate for said in sentences(text)) for text in texts]
    found.add(Flag.BOILERPLATE, numbers[np.asarray(holds, bool)])
    if len(notes) < _FEWEST:
        return
    labels = [note.answer if closed else "" for note in notes]
    found.add(Flag.UNLIKE, numbers[far_off(likeness(texts, labels)) < -FAR])
    if len(set(labels)) > 1:
        judged = doubts(texts, labels, seed)
        found.doubt[numbers] = judged.margin
        found.add(Flag.NOISE, numbers[judged.candidate])


def _hash(text: str) -> int:
    return int(of_bytes(text.encode())[:16], 16)
