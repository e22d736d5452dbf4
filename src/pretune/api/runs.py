"""What a run's folder holds, by name."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pretune.core.errors import StorageError
from pretune.core.files import write_atomic

_OWN = re.compile(r"adapters/(?!\.{1,2}$)[^/\\\0]+")
"""How a record names its adapter; no name that leads to another folder."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one training run."""

    path: Path

    @property
    def task(self) -> Path:
        """The task as it was trained."""
        return self.path / "task.yaml"

    @property
    def data(self) -> Path:
        """The data report and the rejected rows."""
        return self.path / "data"

    @property
    def training(self) -> Path:
        """The checkpoint."""
        return self.path / "training"

    @property
    def log(self) -> Path:
        """Losses and metrics as JSON lines."""
        return self.path / "log.jsonl"

    @property
    def tensorboard(self) -> Path:
        """The same for TensorBoard."""
        return self.path / "tensorboard"

    @property
    def adapters(self) -> Path:
        """Adapters by digest."""
        return self.path / "adapters"

    @property
    def evaluation(self) -> Path:
        """Predictions and metrics on the test rows."""
        return self.path / "evaluation" / "test"

    @property
    def record(self) -> Path:
        """What came of it."""
        return self.path / "run.json"

    def write_record(self, record: dict[str, Any]) -> None:
        """Write ``run.json``; the last step of a run."""
        write_atomic(self.record, json.dumps(record, indent=1, ensure_ascii=False) + "\n")

    def read_record(self) -> dict[str, Any]:
        """Read ``run.json``.

        Raises:
            StorageError: no finished run in this folder.
        """
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
            if not isinstance(record, dict):
                raise TypeError("no JSON object")
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise StorageError(
                f'"{self.path}" holds no finished run ("run.json" is missing or damaged); '
                "name a folder that pretune train wrote, or train with --resume"
            ) from error
        return record

    def adapter(self) -> Path:
        """The folder of the run's adapter, which is one of its own: a run may come from others.

        Raises:
            StorageError: no finished run in this folder, or its record leads out of it.
        """
        named = self.read_record().get("adapter")
        if not isinstance(named, str) or not _OWN.fullmatch(named):
            raise StorageError(
                f'"{self.record}" has "adapter": {json.dumps(named)}, expected "adapters/NAME" in '
                "the run's own folder; copy the run again, or name the adapter's folder itself"
            )
        return self.path / named


def adapter_folder(path: Path) -> Path:
    """The adapter folder that ``path`` means: itself, or the adapter of the run it holds."""
    run = RunFolder(path)
    return run.adapter() if run.record.is_file() else path
