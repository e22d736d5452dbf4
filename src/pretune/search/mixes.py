"""Training rows at several shares of synthetic and augmented rows; what is held out stays."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pretune.core.files import folder_lock
from pretune.core.origin import RowKind
from pretune.data.mix import mix_rows
from pretune.data.workshop.draft import is_written
from pretune.data.workshop.tracked import Unread, read_tracked
from pretune.spec.data import DataSpec
from pretune.spec.mixing import MixSpec
from pretune.spec.task import TaskSpec
from pretune.spec.template import columns_of

_WAIT = 3600.0
"""Seconds that one process waits for another one that is mixing."""


class Mixes:
    """The rows of ``task`` by kind. Without synthetic or augmented rows nothing is ever written.

    Held-out rows are the same at every share: the task's own files, or cut from its seed rows once,
    so that no variant of a held-out row is learned.
    """

    def __init__(self, task: TaskSpec, folder: Path) -> None:
        self._task = task
        self._folder = folder
        self.kinds = _shares_of(task)

    def task_of(self, task: TaskSpec, shares: Mapping[RowKind, float]) -> TaskSpec:
        """``task`` on the rows in which no kind has more than its share."""
        if not self.kinds:
            return task
        with folder_lock(self._folder, "mixing rows", wait=_WAIT):
            whole = self._whole()
            limits = {kind: share for kind, share in shares.items() if share < 1}
            name = "-".join(f"{kind}-{share:g}" for kind, share in limits.items())
            train = self._folder / name / "train.jsonl" if limits else whole / "train.jsonl"
            if not is_written(train):
                none = {"validation_share": 0.0, "test_share": 0.0}
                mix_rows(
                    [whole / "train.jsonl"], train.parent, MixSpec(shares=dict(limits), **none)
                )
        files = {split: whole / f"{split}.jsonl" for split in ("validation", "test")}
        given: dict[str, Any] = {s: (path,) for s, path in files.items() if path.exists()}
        if "validation" not in given:
            given["validation_share"] = self._task.data.validation_share
        return task.model_copy(update={"data": DataSpec(train=(train,), **given)})

    def _whole(self) -> Path:
        """The folder of all training rows and of the held-out rows."""
        folder, data, template = self._folder / "all", self._task.data, self._task.template
        if not is_written(folder / "train.jsonl"):
            asks = [
                column
                for text in (template.system, template.context, template.user)
                for column in columns_of(text or "")
            ]
            spec = MixSpec(
                validation_share=0.0 if data.validation else data.validation_share,
                test_share=0.0 if data.test else data.test_share,
                asks=tuple(dict.fromkeys(asks)),
            )
            paths = {
                split: [path for path in getattr(data, split) or () if isinstance(path, Path)]
                for split in ("train", "validation", "test")
            }
            mix_rows(
                paths["train"], folder, spec, validation=paths["validation"], test=paths["test"]
            )
        return folder


def _shares_of(task: TaskSpec) -> dict[RowKind, float]:
    """The share of each kind beside seed rows; none where the rows are not files in UTF-8."""
    sources = [
        source
        for split in ("train", "validation", "test")
        for source in getattr(task.data, split) or ()
    ]
    if task.data.encoding != "utf-8" or not all(isinstance(one, Path) for one in sources):
        return {}
    counts = Counter(row.origin.kind for row in read_tracked(task.data.train, Unread()))
    total = counts.total()
    return {
        kind: counts[kind] / total
        for kind in (RowKind.SYNTHETIC, RowKind.AUGMENTED)
        if counts[kind]
    }
