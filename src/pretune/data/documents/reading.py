"""Reads documents in a process of its own, which may use so much memory and time and no more."""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pretune.data.documents.blocks import Block, BlockKind, Unreadable
from pretune.spec.distil import LimitSpec


class Reading:
    """A context in which documents are read; whatever a document does, the next one is read too."""

    def __init__(self, limits: LimitSpec) -> None:
        self._limits = limits
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def blocks(self, path: Path) -> Iterator[Block]:
        """Blocks of ``path`` in order, as they are read.

        Raises:
            Unreadable: the document is refused; blocks may have come before.
        """
        process = self._process = self._process or self._start()
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self._limits.seconds, stop)
        timer.daemon = True
        timer.start()
        ended = False
        try:
            for answer in _answers(process, path):
                if isinstance(answer, dict):
                    ended = True
                    if answer["refused"] is not None:
                        raise Unreadable(answer["refused"])
                    return
                kind, text, level = answer
                yield Block(BlockKind(kind), text, level)
        finally:
            timer.cancel()
            if not ended or late.is_set():
                self._end()
        if late.is_set():
            raise Unreadable(
                f"took more than {self._limits.seconds:g} seconds; split it, or raise "
                "limits.seconds"
            )
        raise Unreadable("ended the process that read it; save it anew, or split it")

    def _start(self) -> "subprocess.Popen[str]":
        limits = self._limits
        numbers = (limits.megabytes << 20, limits.pages, limits.memory_megabytes << 20)
        return subprocess.Popen(
            [sys.executable, "-m", "pretune.data.documents.worker", *map(str, numbers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="ascii",
        )

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.communicate()
        self._process = None


def _answers(process: "subprocess.Popen[str]", path: Path) -> Iterator[Any]:
    """What the process says about ``path``; it ends early where the process does."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError, ValueError):  # a dead process, half a line
        print(json.dumps(str(path)), file=process.stdin, flush=True)
        yield from map(json.loads, process.stdout)
