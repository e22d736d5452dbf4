"""Losses and metrics for TensorBoard."""

from pathlib import Path
from typing import Any

from pretune.core.events import Event

_SHOWN = ("train.step", "train.validation")


class TensorBoard:
    """Writes every number of a step or a validation as a scalar under ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def emit(self, event: Event) -> None:
        """Open at the start, hiding what a resumed training will write again; close at the end."""
        if event.kind == "train.start":
            from torch.utils.tensorboard import SummaryWriter  # slow to import

            self._writer = SummaryWriter(str(self._folder), purge_step=event.step + 1)
        elif event.kind in _SHOWN:
            group = event.kind.removeprefix("train.")
            for name, value in event.values.items():
                self._writer.add_scalar(f"{group}/{name}", value, event.step)
        elif event.kind == "train.checkpoint":
            self._writer.flush()
        elif event.kind in ("train.done", "train.failed") and self._writer is not None:
            self._writer.close()
            self._writer = None
