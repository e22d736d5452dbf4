"""Whether a variant still reads like its label: a model of words that never saw its row."""

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

from pretune.core.origin import RowKind
from pretune.core.records import Row
from pretune.data.dataset import read_examples
from pretune.data.probes import bag_of_words, linear_probe
from pretune.data.rejected import Rejected
from pretune.data.splits import Split
from pretune.data.template import Template, plain
from pretune.data.workshop.tracked import tracked
from pretune.spec.task import TaskSpec

_FOLDS = 5
_MOST = 20_000
"""Rows that it learns from, the first ones; more would tell little more and take memory."""

_LEAST = 5
"""Rows of a label from which it is learned; variants of rarer ones are not judged."""


class LabelProbe:
    """Linear models on the words of training rows, one for each fold. Threads may share it."""

    def __init__(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """``rows``: id, asking text and label of each seed row."""
        ids, texts, labels = _columns(list(islice(rows, _MOST)))
        counts = Counter(labels)
        common = [i for i, label in enumerate(labels) if counts[label] >= _LEAST]
        self._labels = {labels[i] for i in common}
        self._models: list[Any] = []
        if len(self._labels) < 2:
            return
        self._words: Any = bag_of_words(texts)
        inputs = self._words.fit_transform([texts[i] for i in common])
        given = np.asarray([labels[i] for i in common], dtype=object)
        folds = np.asarray([_fold(ids[i]) for i in common])
        for fold in range(_FOLDS):
            rest = folds != fold
            few = len(set(given[rest])) < 2
            self._models.append(None if few else linear_probe().fit(inputs[rest], given[rest]))

    def judges(self, row_id: str, label: str) -> bool:
        """Whether it can say anything about variants of that row."""
        model = self._models[_fold(row_id)] if self._models else None
        return model is not None and label in model.classes_

    def doubts(self, row_id: str, label: str, old: str, new: str, least: float) -> bool:
        """Whether ``new`` reads like another label, and much less like ``label`` than ``old``: its
        probability is less than the share ``least`` of what it was."""
        if not self.judges(row_id, label):
            return False
        model = self._models[_fold(row_id)]
        before, after = model.predict_proba(self._words.transform([old, new]))
        own = list(model.classes_).index(label)
        return bool(after.argmax() != own and after[own] < least * before[own])


Doubts = Callable[[str, Mapping[str, Any], Mapping[str, Any]], bool]
"""Whether a variant, by the row's id and the fields of both, reads like another label."""


def doubts_of(task: TaskSpec, template: Template, least: float) -> Doubts | None:
    """The probe on ``task``'s seed rows; ``None`` where there are no labels, or ``least`` is 0."""
    if not task.labels or not least:
        return None
    probe = LabelProbe(_seeds(task, template))

    def doubts(row_id: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        before, after = (template.asked(Row(row_id, dict(one))) for one in (old, new))
        return probe.doubts(row_id, plain(old[task.label_field]), before, after, least)

    return doubts


def _seeds(task: TaskSpec, template: Template) -> Iterator[tuple[str, str, str]]:
    """Id, asking text and label of the training rows that people labelled."""
    for split, row, example in read_examples(task, template):
        if row is None or isinstance(example, Rejected) or split is not Split.TRAIN:
            continue
        found = tracked(row)
        if not isinstance(found, Rejected) and found.origin.kind is RowKind.SEED:
            yield row.id, template.asked(row), plain(row.fields[task.label_field])


def _fold(row_id: str) -> int:
    return zlib.crc32(row_id.encode()) % _FOLDS


def _columns(rows: list[tuple[str, str, str]]) -> tuple[list[str], list[str], list[str]]:
    return [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows]
