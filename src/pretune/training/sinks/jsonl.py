"""Losses and metrics as JSON lines."""

import json
from pathlib import Path

from pretune.core.events import Event
from pretune.core.files import write_atomic


class JsonLines:
    """Appends each event to ``path`` as ``{"kind": ..., "step": ..., ...}``.

    A training that starts at a step keeps the lines up to that step: those after it were written
    past the checkpoint, and will be written again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def emit(self, event: Event) -> None:
        """Write one line, complete and handed to the system."""
        if event.kind == "train.start":
            self._forget_after(event.step)
        line = json.dumps({"kind": event.kind, "step": event.step, **event.values})
        # Opened for each line: nothing is left in a buffer or open, however the process ends.
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _forget_after(self, step: int) -> None:
        kept = [line for line in self._lines() if step and _step_of(line) in range(step + 1)]
        write_atomic(self._path, "".join(kept))

    def _lines(self) -> list[str]:
        if not self._path.exists():
            return []
        return self._path.read_text(encoding="utf-8").splitlines(keepends=True)


def _step_of(line: str) -> int:
    """The line's step; -1 for one that a kill cut short."""
    try:
        return int(json.loads(line)["step"])
    except ValueError:
        return -1
